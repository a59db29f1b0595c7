"""Sessions: the layers of a task on a group of ranks; each kind in `hpcmtl.training.kinds` opens one of them."""
