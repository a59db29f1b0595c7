"""Transport of commands and reports between rank 0 and the other ranks."""
