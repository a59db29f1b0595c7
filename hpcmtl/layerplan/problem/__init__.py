"""The planning problem as arrays."""
