"""Metrics, ranking metrics and validation during training."""
