"""What rank 0 writes down and shows while a job runs: the ledger and the display, fed by the dispatcher."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from hpcmtl.dispatch.health.monitor import rank_in_words
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.sinks.terminal import open_progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

    from hpcmtl.dispatch.health.heartbeat import Heartbeat
    from hpcmtl.pipeline.run.status_file import StatusFile
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.sinks.terminal import Mode, StepProgress


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

    def record(self, event: str, **fields: Any) -> None:
        """See `Observer`."""
        self._ledger.append(event, **fields)
        if self._status is not None:
            self._status.take(event, fields)
        if event == "layer_started":
            self._display.layer_started(fields["task"], fields["layer"], fields["layers"], fields["ranks"])
        elif event in {"layer_ended", "layer_stopped", "layer_restarted"}:
            self._display.layer_ended(fields["task"])
        elif event == "layer_late":
            _log.warning(
                "task %s, layer %d: no word for long from ranks %s; is one of them stuck?",
                fields["task"],
                fields["layer"],
                ", ".join(map(str, fields["silent_ranks"])),
            )
        elif event == "job_waits":
            _log.warning("only paused tasks are left (%s); see `hpcmtl unpause`", ", ".join(fields["tasks"]))
        elif event == "task_retried":
            _log.warning(
                "task %s failed in layer %d (%s): try %d of %d follows in %g s",
                *(fields[key] for key in ("task", "layer", "message", "retry", "retries", "wait")),
            )
        elif event == "artifact_damaged":
            _log.warning("%s; its last layer runs again for %s", fields["message"], fields["consumer"])
        elif event in _OF_RANKS:
            _log.warning("%s", rank_in_words(event, fields))
        elif event == "task_ended":
            self._display.task_ended(fields["task"], fields["status"], fields["message"])

    def progressed(self, progress: StepProgress) -> None:
        """See `Observer`."""
        self._display.step(progress)
        if self._status is not None:
            self._status.progressed(progress)

    def heard(self, beats: Iterable[Heartbeat]) -> None:
        """See `Listener`."""
        if self._status is not None:
            self._status.heard(beats)


_OF_RANKS = frozenset({"rank_suspect", "rank_back", "rank_hung", "rank_lost", "world_shrunk"})
