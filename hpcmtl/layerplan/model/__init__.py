"""Models of machine and speedup."""
