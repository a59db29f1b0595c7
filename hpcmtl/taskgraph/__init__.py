"""Tasks and edges, what each task has to do, and how many layers it is cut into."""
