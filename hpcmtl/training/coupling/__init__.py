"""Parameter exchange between tasks that train at the same time."""
