"""Adapters of collectives of PyTorch's tensors."""
