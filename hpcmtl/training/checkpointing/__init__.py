"""Checkpoints of training tasks, and how often they are written."""
