"""The sinks that a job asks for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.results.sinks.open_metrics import OpenMetricsFile
from hpcmtl.results.sinks.tensorboard import TensorBoardFiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.jobfile.schema import Track
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.sinks.base import Sink


def tracked_by(names: Iterable[Track], run: RunDirectory, job: str) -> list[Sink]:
    """Opens the sinks with some names, in the run directory of a job."""
    found: list[Sink] = []
    for name in dict.fromkeys(names):
        if name == "tensorboard":
            found.append(TensorBoardFiles(run))
        elif name == "openmetrics":
            found.append(OpenMetricsFile(run.metrics_file, job))
    return found
