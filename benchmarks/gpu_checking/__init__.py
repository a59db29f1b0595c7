"""Parts of the check of GPUs."""
