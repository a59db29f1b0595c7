"""Sections of `benchmarks/multitask.py`."""
