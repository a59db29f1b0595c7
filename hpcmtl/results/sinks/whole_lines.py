"""Progress bars of which every row ends with a newline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import Progress
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType


class WholeLines(Progress):
    """Bars with an empty row below them.

    The last row of a live display has no newline. mpirun forwards whole lines, and holds the rest back until the next
    one comes: the bar of a task that runs alone was never seen.
    """

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yields the bars, and the empty row."""
        yield from super().get_renderables()
        yield Text("")
