"""Writes events that a person should notice to the log, as sentences."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcmtl.results import events
from hpcmtl.results.format import counted
from hpcmtl.results.sinks.base import IgnoringSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hpcmtl.results.events import RunEvent

_log = logging.getLogger(__name__)


class LogWarnings(IgnoringSink):
    """A `Sink` that logs a warning for each event that a person should notice; a note on a task once an attempt."""

    def __init__(self) -> None:
        self._noted: set[events.TaskNoted] = set()  # each group that begins the task records it again

    def on_event(self, event: RunEvent, at: float) -> None:  # noqa: ARG002 - the log has times of its own
        """See `Sink`."""
        if isinstance(event, events.TaskNoted):
            if event in self._noted:
                return
            self._noted.add(event)
        text = sentence(event)
        if text:
            _log.warning("%s", text)


def sentence(event: RunEvent) -> str:
    """Returns a sentence on an event that a person should notice; an empty text for any other event."""
    make = _SENTENCES.get(type(event))
    return "" if make is None else make(event)


def _late(event: events.LayerLate) -> str:
    ranks = ", ".join(map(str, event.silent_ranks))
    return f"task {event.task}, layer {event.layer}: no report for long from ranks {ranks}; is one of them stuck?"


def _stuck(event: events.LayerStuck) -> str:
    ranks = ", ".join(map(str, event.silent_ranks))
    return f"task {event.task}, layer {event.layer}: no step for {event.seconds:.0f} s: it is given up on ranks {ranks}"


def _noted(event: events.TaskNoted) -> str:
    return f"task {event.task}: {event.text}"


def _stopped(event: events.TrainingStopped) -> str:
    what = f"task {event.task}, head {event.head}" if event.head else f"task {event.task}"
    best = "" if event.best is None else f" ({event.best:g})"
    since = f"{event.monitor} has not improved since epoch {event.best_epoch}{best}"
    return f"{what}: the training ends after epoch {event.epoch}: {since}"


def _stopping(event: events.JobStopping) -> str:
    return f"the run stops with checkpoints: {event.reason}"


def _retried(event: events.TaskRetried) -> str:
    failure = f"task {event.task} failed in layer {event.layer} ({event.message})"
    return f"{failure}: try {event.retry} of {event.retries} follows in {event.wait:g} s"


def _reset(event: events.TaskReset) -> str:
    return f"task {event.task} had failed and was changed ({', '.join(event.changed)}): it begins again from nothing"


def _paused(event: events.JobPaused) -> str:
    return f"only paused tasks are left ({', '.join(event.tasks)}); see `hpcmtl unpause`"


def _damaged(event: events.ArtifactDamaged) -> str:
    return f"{event.message}; its last layer runs again" + (f" for {event.consumer}" if event.consumer else "")


def _suspected(event: events.RankSuspected) -> str:
    return f"rank {event.rank}: no heartbeat for {event.seconds:.0f} s, it was {_place(event)}; is its node well?"


def _recovered(event: events.RankRecovered) -> str:
    return f"rank {event.rank} is back after {event.seconds:.0f} s without a heartbeat"


def _hung(event: events.RankHung) -> str:
    silence = f"no heartbeat for {event.seconds:.0f} s"
    return f"rank {event.rank} on {event.host} hangs: {silence}; declared dead, at {event.doing}"


def _lost(event: events.RankLost) -> str:
    return f"rank {event.rank} on {event.host} was lost; by its last heartbeat it was {_place(event)}"


def _shrunk(event: events.WorldShrunk) -> str:
    return f"the run goes on with {counted(event.ranks, 'rank')}"


def _place(event: events.RankSilence | events.RankLost) -> str:
    """Returns the task, layer and step of a rank's last heartbeat in words."""
    if not event.task:
        return "waiting for work"
    return f"at task {event.task}, layer {event.layer}" + (f", step {event.step}" if event.step else "")


_SENTENCES: Mapping[type[RunEvent], Callable[[Any], str]] = {
    events.JobStopping: _stopping,
    events.LayerLate: _late,
    events.LayerStuck: _stuck,
    events.TaskNoted: _noted,
    events.TrainingStopped: _stopped,
    events.TaskRetried: _retried,
    events.TaskReset: _reset,
    events.JobPaused: _paused,
    events.ArtifactDamaged: _damaged,
    events.RankSuspected: _suspected,
    events.RankRecovered: _recovered,
    events.RankHung: _hung,
    events.RankLost: _lost,
    events.WorldShrunk: _shrunk,
}
