"""Limits of waiting in tests: they are for hangs alone, and the quickest of machines is not the only one."""

PATIENCE = 2.5
"""Factor on all limits of waiting: on some days a machine was so much slower than on the day of the limits."""
