"""The callback by which long work on data files reports how far it is."""

from collections.abc import Callable

StageReport = Callable[[str, float], None]
"""Takes the name of a stage and the share of it that is done, 0 to 1."""
