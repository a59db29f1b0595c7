"""The coordinator on rank 0: the dispatcher state machine, task states, history and recovery."""
