"""The task graph: tasks, their sizes and layers, and the edges between them."""
