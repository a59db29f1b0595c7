"""Everything that rank 0 keeps and shows of a running job: the ledger and the other sinks."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from hpcmtl.dispatch.health.failure_detector import PATIENCE
from hpcmtl.results.curves.repeats import SentPoints
from hpcmtl.results.ledger import read_events
from hpcmtl.results.run_state import fold
from hpcmtl.results.sinks.curve_writer import CurveWriter
from hpcmtl.results.sinks.ledger_writer import LedgerWriter
from hpcmtl.results.sinks.log_warnings import LogWarnings
from hpcmtl.results.sinks.status_file import StatusFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from hpcmtl.results.curves.point import TaskPoints
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.heartbeat import Heartbeat
    from hpcmtl.results.run_state import RunState
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.sinks.base import Sink
    from hpcmtl.results.step_progress import StepProgress

_log = logging.getLogger(__name__)


class RunObserver:
    """Passes all that happens in a run to the ledger, and then to the sinks.

    An error of the ledger ends the run. Another sink that raises is closed and gets nothing more; the run goes on.

    Attributes:
        state: state of the run after all events so far, earlier attempts included.
    """

    def __init__(self, ledger: Sink, sinks: Iterable[Sink], state: RunState) -> None:
        self._ledger, self._sinks, self.state = ledger, list(sinks), state
        self._sent = SentPoints()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in list(self._sinks):
            self._pass_on(sink, "its end", type(sink).close)
        self._ledger.close()

    def record(self, event: RunEvent) -> None:
        """Writes an event to the ledger and shows it.

        Raises:
            OSError: the ledger could not be written.
        """
        at = time.time()
        self._ledger.on_event(event, at)
        self.state.take(event, at)
        for sink in list(self._sinks):
            self._pass_on(sink, event.name, lambda sink: sink.on_event(event, at))

    def progressed(self, progress: StepProgress) -> None:
        """Shows the progress of a running layer."""
        for sink in list(self._sinks):
            self._pass_on(sink, "progress", lambda sink: sink.on_progress(progress))

    def add_points(self, points: TaskPoints) -> None:
        """Shows new points of the curves of a task."""
        new = self._sent.new(points.task, points.points)

        def show(sink: Sink) -> None:
            for point in new:
                sink.on_point(points.task, point)

        for sink in list(self._sinks):
            self._pass_on(sink, "points of curves", show)

    def heard(self, heartbeats: Iterable[Heartbeat]) -> None:
        """Shows heartbeats of some ranks."""
        heard = tuple(heartbeats)
        for sink in list(self._sinks):
            self._pass_on(sink, "heartbeats", lambda sink: sink.on_heartbeats(heard))

    def _pass_on(self, sink: Sink, what: str, call: Callable[[Any], None]) -> None:
        try:
            call(sink)
        except Exception:  # noqa: BLE001 - a display must not end the run, whatever its error
            _log.exception("%s failed at %s and is left out from now on", type(sink).__name__, what)
            self._sinks.remove(sink)
            with suppress(Exception):
                sink.close()


def open_observer(
    directory: RunDirectory,
    plan: Mapping[str, Any],
    hosts: Sequence[str],
    interval: float,
    further: Iterable[Sink],
) -> RunObserver:
    """Opens the ledger of a run and its sinks.

    Args:
        directory: the run directory.
        plan: layer plan, as in `plan.json`.
        hosts: host of each rank.
        interval: seconds between the heartbeats of a rank.
        further: sinks beside those that every run has.

    Raises:
        InputError: the ledger is damaged, or another process has it open.
    """
    past = read_events(directory.ledger_file) if directory.ledger_file.exists() else []
    ledger = LedgerWriter(directory.ledger_file)
    timing = {"seconds_between_heartbeats": interval, "suspect_after": PATIENCE * interval}
    sinks: list[Sink] = [
        StatusFile(directory.status_file, plan, hosts, timing, past),
        CurveWriter(directory),
        LogWarnings(),
        *further,
    ]
    return RunObserver(ledger, sinks, fold(past))
