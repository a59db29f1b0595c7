"""Methods that work on coordinates of the gradients, on each rank's shard of the matrix of all objectives."""
