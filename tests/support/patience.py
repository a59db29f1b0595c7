"""Gives the factor on the limits of waiting in tests, which are for hangs alone."""

PATIENCE = 2.5
"""Factor on all limits; on some days a machine was so much slower than on the day of the limits."""
