"""Start of a job on ranks: environment, launch commands, batch scripts and their checks."""
