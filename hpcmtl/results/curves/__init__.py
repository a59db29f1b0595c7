"""The curves of a run: what the training of each task measured, by step and by epoch, in files beside the ledger."""
