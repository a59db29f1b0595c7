"""Metrics without a value."""

from __future__ import annotations


class UndefinedMetricError(ArithmeticError):
    """The metric has no value for these data; the message has the reason."""
