"""Weightings of objectives from their losses or from the Gramian of their gradients, one file each."""
