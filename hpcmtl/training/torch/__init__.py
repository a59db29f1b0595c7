"""Training with PyTorch; the only package that imports torch."""
