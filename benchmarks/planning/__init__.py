"""What `benchmarks/planner.py` measures: instances, the planners of others, and a simulated dispatch."""
