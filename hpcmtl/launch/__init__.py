"""How a job gets onto ranks: the environment it finds, the commands that start it, and the check that it can."""
