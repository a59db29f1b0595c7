"""Column of the live display with the names of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.progress import ProgressColumn
from rich.text import Text

from hpcmtl.layerplan.report.names import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.progress import Task

_SHORTEST = 8


@dataclass(frozen=True)
class _Name:
    """A name that loses letters in its middle where the column is too narrow."""

    text: str

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        return Measurement(min(len(self.text), _SHORTEST), len(self.text))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text(shortened(self.text, options.max_width), no_wrap=True)


class NameColumn(ProgressColumn):
    """Shows the name of each task; it shrinks before the other columns do."""

    def render(self, task: Task) -> RenderableType:
        """Returns the name."""
        return _Name(task.description)
