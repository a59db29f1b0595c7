"""Models of the machine and of parallel speedup."""
