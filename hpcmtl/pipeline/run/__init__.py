"""A run from its job file to its results, on the ranks of an MPI world."""
