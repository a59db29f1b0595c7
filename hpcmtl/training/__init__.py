"""Training of one layer of one task by a group of ranks; knows numpy arrays, never a framework's."""
