"""A job from its file to its results: where the parts are put together, and the only room that chooses adapters.

A job file names tasks; they form a task graph; rank 0 makes a layer plan; the dispatch runs layers on groups; results
come home. Rooms above import from the modules, so that a command loads what it needs and no more.
"""
