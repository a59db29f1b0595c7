"""Facts of a run, read from its directory into values; no HTML and no drawing."""
