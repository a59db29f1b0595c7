"""Who runs what next: the dispatcher on rank 0, and what every rank does with its orders."""
