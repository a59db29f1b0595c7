"""Options of a run beyond the job file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.results.sinks.terminal import Mode


@dataclass(frozen=True)
class RunOptions:
    """Options of a run beyond the job file.

    Attributes:
        root: parent directory of the run directory.
        ranks: expected size of the world; None accepts any size.
        policy: planning policy in place of the job's.
        progress: form of the progress display on stderr.
        width: columns of the terminal; None for the real ones.
        measured: directory of an earlier run, whose measured times predict those of this one.
        changes: keys of the job with dots, and the values that they have instead.
        heartbeat: seconds between the heartbeats of a rank; None for HPCMTL_HEARTBEAT, or 5.

    `root` and `measured` may be texts.
    """

    root: Path = Path("runs")
    ranks: int | None = None
    policy: str | None = None
    progress: Mode = "plain"
    width: int | None = None
    measured: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    heartbeat: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if self.measured is not None:
            object.__setattr__(self, "measured", Path(self.measured))
