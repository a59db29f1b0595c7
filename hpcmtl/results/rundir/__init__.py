"""The run directory and the small files in it."""
