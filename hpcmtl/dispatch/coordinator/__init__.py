"""The coordinator on rank 0: the dispatcher, the states and ends of tasks, task sources, and recovery from losses."""
