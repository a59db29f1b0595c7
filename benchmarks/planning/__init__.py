"""Parts of `planner.py` and `dispatch.py`: instances, published planners, and simulated dispatch."""
