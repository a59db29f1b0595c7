"""The reason why a metric has no value."""


class UndefinedMetricError(ArithmeticError):
    """The metric has no value for these data; the message has the reason."""
