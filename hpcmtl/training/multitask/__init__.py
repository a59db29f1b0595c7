"""Multi-task learning: weighting of objectives."""
