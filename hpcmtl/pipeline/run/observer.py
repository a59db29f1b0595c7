"""What rank 0 writes down and shows while a job runs: the ledger and the display, fed by the dispatcher."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from hpcmtl.dispatch.health.monitor import rank_in_words
from hpcmtl.results.events import (
    ArtifactDamaged,
    JobPaused,
    LayerLate,
    LayerOver,
    LayerRestarted,
    LayerStarted,
    RankHung,
    RankLost,
    RankSilence,
    TaskEnded,
    TaskRetried,
    WorldShrunk,
)
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.sinks.terminal import open_progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

    from hpcmtl.dispatch.health.heartbeat import Heartbeat
    from hpcmtl.pipeline.run.status_file import StatusFile
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.sinks.terminal import Mode
    from hpcmtl.results.step_progress import StepProgress


_log = logging.getLogger(__name__)


class RunObserver:
    """An `Observer` of the dispatcher, and a `Listener` to heartbeats."""

    def __init__(
        self, directory: RunDirectory, mode: Mode, width: int | None, status: StatusFile | None = None
    ) -> None:
        self._ledger = Ledger(directory.ledger_file)
        self._display = open_progress(mode, sys.stderr, width)
        self._status = status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.close()
        self._ledger.close()
        if self._status is not None:
            self._status.close()

    def record(self, event: RunEvent) -> None:
        """See `Observer`."""
        self._ledger.append(event)
        if self._status is not None:
            self._status.take(event)
        if isinstance(event, LayerStarted):
            self._display.layer_started(event.task, event.layer, event.layers, event.ranks)
        elif isinstance(event, LayerOver | LayerRestarted):
            self._display.layer_ended(event.task)
        elif isinstance(event, TaskEnded):
            self._display.task_ended(event.task, event.status, event.message)
        elif isinstance(event, LayerLate):
            text = "task %s, layer %d: no word for long from ranks %s; is one of them stuck?"
            _log.warning(text, event.task, event.layer, ", ".join(map(str, event.silent_ranks)))
        elif isinstance(event, JobPaused):
            _log.warning("only paused tasks are left (%s); see `hpcmtl unpause`", ", ".join(event.tasks))
        elif isinstance(event, TaskRetried):
            text = "task %s failed in layer %d (%s): try %d of %d follows in %g s"
            _log.warning(text, event.task, event.layer, event.message, event.retry, event.retries, event.wait)
        elif isinstance(event, ArtifactDamaged):
            _log.warning("%s; its last layer runs again for %s", event.message, event.consumer)
        elif isinstance(event, RankSilence | RankHung | RankLost | WorldShrunk):
            _log.warning("%s", rank_in_words(event))

    def progressed(self, progress: StepProgress) -> None:
        """See `Observer`."""
        self._display.step(progress)
        if self._status is not None:
            self._status.progressed(progress)

    def heard(self, beats: Iterable[Heartbeat]) -> None:
        """See `Listener`."""
        if self._status is not None:
            self._status.heard(beats)
