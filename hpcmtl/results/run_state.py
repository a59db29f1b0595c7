"""The one fold over the events of a run: everything that status, resume, results and measured speeds read of them.

`RunState.take` is the only place that interprets events. All else reads the values that it keeps. Pure: events and
their times come in. Times are seconds since 1970.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcmtl.networks.bounds import MOST
from hpcmtl.results import events
from hpcmtl.results.history import OPEN, AttemptHistory, MeasuredLayer, TaskHistory
from hpcmtl.results.ledger import read_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from hpcmtl.results.events import LayerOver, RankLost, RankSuspected, RunEvent
    from hpcmtl.results.ledger import LedgerEntry
    from hpcmtl.results.step_progress import StepProgress

_log = logging.getLogger(__name__)


@dataclass
class RunState:
    """The state of a run that follows from the events of its ledger.

    Attributes:
        tasks: tasks by name.
        attempts: all attempts, in order.
        job: name of the job.
        status: preparing, running, stopping, or the status with which the last attempt ended.
        ranks: number of ranks that live.
        members: their numbers, in order; each is the rank's number at the start of the attempt.
        suspects: events of the ranks that are suspected, by rank.
        lost: events of the ranks that this attempt lost.
        started: time of the start of the last attempt; 0 before that.
        ended: time of its end; 0 before that.
        latest: time of the last event.
        measured: layers whose times predict those of others.
    """

    tasks: dict[str, TaskHistory] = field(default_factory=dict)
    attempts: list[AttemptHistory] = field(default_factory=list)
    job: str = ""
    status: str = "preparing"
    ranks: int = 0
    members: tuple[int, ...] = ()
    suspects: dict[int, RankSuspected] = field(default_factory=dict)
    lost: list[RankLost] = field(default_factory=list)
    started: float = 0.0
    ended: float = 0.0
    latest: float = 0.0
    measured: list[MeasuredLayer] = field(default_factory=list)
    _world: int = 0
    _shrunk: bool = False
    _marks: set[tuple[Any, ...]] = field(default_factory=set)

    @property
    def attempt(self) -> AttemptHistory:
        """The last attempt; one with number 0 before any has begun."""
        return self.attempts[-1] if self.attempts else AttemptHistory()

    def take(self, event: RunEvent, at: float) -> None:
        """Takes in an event that happened at a time; events that say nothing of the state change `latest` alone."""
        self.latest = at
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event, at)
        self.attempt.latest = at

    @property
    def seconds(self) -> float:
        """Seconds of all attempts together, each from its start to its last event."""
        return sum(each.latest - each.started for each in self.attempts)

    @property
    def rank_seconds(self) -> float:
        """Ranks times seconds of all layers that were run, in all attempts."""
        return sum(over.ranks * over.seconds for task in self.tasks.values() for over in task.outcomes)

    def group_of(self, event: events.LayerStarted) -> tuple[int, int]:
        """Returns the first and the last rank of a group, whose ranks are the living ones from its first on."""
        living = self.members
        place = living.index(event.first_rank) if event.first_rank in living else len(living)
        group = living[place : place + event.ranks]
        return event.first_rank, group[-1] if len(group) == event.ranks else event.first_rank + event.ranks - 1

    def progressed(self, progress: StepProgress) -> None:
        """Takes in the progress of a running or stopped layer; late progress of a layer that has ended is ignored."""
        task = self.tasks.get(progress.task)
        if task is not None and (task.status == "running" or task.stopped) and task.layer == progress.layer:
            task.progress = progress

    def keep(self, name: str, layers_done: int, kept: float) -> None:
        """Takes in the kept part of the next layer of a task, unless another number of layers has ended since."""
        task = self.tasks.get(name)
        if task is not None and task.layers_done == layers_done:
            task.kept = kept

    def task(self, name: str) -> TaskHistory:
        """Returns the history of a task, an empty one if nothing has happened to it."""
        if name not in self.tasks:  # a history that is not needed takes as long as all else that an event does
            self.tasks[name] = TaskHistory()
        return self.tasks[name]

    def further(self, *mark: Any) -> None:
        """Notes that this attempt reached a mark; the first attempt to reach it has progressed."""
        if mark not in self._marks:
            self._marks.add(mark)
            if self.attempts:
                self.attempts[-1].progressed = True

    def begin(self, event: events.JobStarted, at: float) -> None:
        """Begins an attempt: unfinished tasks wait again, and failed ones are tried once more."""
        self.job, self.ranks, self._world, self._shrunk = event.job, event.ranks, event.ranks, False
        self.members = tuple(range(event.ranks))
        self.started, self.ended, self.status = at, 0.0, "running"
        number = event.attempt or self.attempt.number + 1
        self.attempts.append(AttemptHistory(number, event.attempt_id, event.host, at))
        self.suspects.clear()
        self.lost.clear()
        for task in self.tasks.values():
            if task.status not in {"complete", "cancelled"}:
                task.status, task.message = "waiting", ""
                task.progress = task.progress if task.stopped else None
            task.kept = task.kept if task.stopped else 0.0
            task.share_before, task.outcomes_before = task.share, len(task.outcomes)

    def end(self, event: events.JobEnded, at: float) -> None:
        """Ends an attempt: its unfinished tasks are stopped."""
        self.ended, self.status = at, event.status
        for task in self.tasks.values():
            task.losses = 0  # the next attempt may have other nodes, and a task that failed is tried once more
            task.status = "stopped" if task.status in OPEN else task.status

    def end_layer(self, event: LayerOver) -> None:
        """Takes in the outcome of a layer."""
        task, done = self.task(event.task), isinstance(event, events.LayerEnded)
        task.status = "held"
        task.progress = None if done else task.progress
        task.kept = 0.0 if done else task.kept
        task.layers_done = event.layer + 1 if done else event.layer
        if done and event.ended_early:
            task.layers_done = max(task.layers, task.layers_done)
        task.stopped = not done or self.status == "stopping"
        task.outcomes.append(event)
        if done:
            self.further(event.name, event.task, event.layer)
        elif event.steps:
            self.further(event.name, event.task, event.layer, len(self.attempts))
        if isinstance(event, events.LayerEnded) and not self._shrunk and task.ranks is not None:
            self.measured.append(MeasuredLayer(first_rank=task.ranks[0], world=self._world, layer=event))

    def shrink(self, event: events.WorldShrunk) -> None:
        """Takes in a loss: the other ranks keep their numbers."""
        self.ranks, self.members, self._shrunk = event.ranks, event.members, True
        self.suspects.clear()
        for task in self.tasks.values():
            task.lose(event.members)


def fold(entries: Iterable[LedgerEntry]) -> RunState:
    """Returns the state that follows from events of a ledger, in their order."""
    state = RunState()
    for entry in entries:
        state.take(entry.event, entry.at)
    return state


def read_run_state(ledger: Path) -> RunState:
    """Returns the state of a run from its ledger; an empty one if there is no such file.

    Raises:
        InputError: the ledger is damaged.
    """
    return fold(read_events(ledger)) if ledger.exists() else RunState()


def _start_layer(state: RunState, event: events.LayerStarted, at: float) -> None:
    task = state.task(event.task)
    task.kept = task.within if task.stopped and task.layer == event.layer else 0.0
    task.status, task.layer, task.layers = "running", event.layer, event.layers
    task.ranks, task.since, task.progress = state.group_of(event), at, None
    task.message, task.stopped = "", False


def _restart_layer(state: RunState, event: events.LayerRestarted, _at: float) -> None:
    task = state.task(event.task)
    task.kept = 0.0
    task.status, task.progress, task.message = "waiting", None, "a rank was lost: the layer begins again"
    if event.lost and not event.not_begun:
        task.losses, task.lost_layer = 1 + task.losses * (task.lost_layer == event.layer), event.layer


def _retry_task(state: RunState, event: events.TaskRetried, _at: float) -> None:
    task = state.task(event.task)
    task.status = "waiting"
    task.message = f"try {event.retry} of {event.retries} after: {event.message}"


def _write_checkpoint(state: RunState, event: events.CheckpointWritten, _at: float) -> None:
    task = state.task(event.task)
    task.checkpointed, task.losses = True, 0  # the layer gets on
    state.further(event.name, event.task, event.step)


def _end_task(state: RunState, event: events.TaskEnded, _at: float) -> None:
    task = state.task(event.task)
    task.status, task.message, task.cancelled = event.status, event.message, event.status == "cancelled"


def _reset_task(state: RunState, event: events.TaskReset, _at: float) -> None:
    """Forgets a task whose keys were changed; its measured layers predict nothing any more."""
    state.tasks[event.task] = TaskHistory()
    state.measured = [measured for measured in state.measured if measured.layer.task != event.task]


def _remake(state: RunState, event: events.ArtifactDamaged, _at: float) -> None:
    """Takes in that the last layer of a task is to run again, since its artifact was damaged."""
    task = state.task(event.task)
    if task.complete:
        task.status, task.layers_done = "waiting", max(task.layers_done - 1, 0)


def _accept_request(state: RunState, event: events.RequestAccepted, _at: float) -> None:
    if event.verb == "cancel" and not event.task:
        state.attempt.cancelled_by = event.by or "a user"
    elif event.task:
        _change_task(event.task, state.task(event.task), event.verb, event.values)


def _change_task(name: str, task: TaskHistory, verb: str, values: Mapping[str, Any]) -> None:
    if verb == "set":
        priority, rate = values.get("priority"), values.get("learning_rate")
        if isinstance(priority, int) and abs(priority) <= MOST:
            task.priority, priority = priority, None
        if isinstance(rate, int | float) and 0 < rate < math.inf:
            task.learning_rate, task.learning_rates, rate = float(rate), task.learning_rates + 1, None
        for key, value in (("priority", priority), ("learning_rate", rate)):
            if value is not None:  # earlier versions took any whole number, and a resumed run ended by it
                _log.warning(
                    "the ledger sets %s of task %s to %.30s, which is no such value: passed over", key, name, value
                )
    elif verb in {"pause", "unpause"}:
        task.paused = verb == "pause"
    elif verb == "cancel":
        task.cancelled = True


def _recover_rank(state: RunState, event: events.RankRecovered, _at: float) -> None:
    state.suspects.pop(event.rank, None)


_HANDLERS: Mapping[type[RunEvent], Callable[[RunState, Any, float], None]] = {
    events.JobStarted: RunState.begin,
    events.JobEnded: RunState.end,
    events.JobStopping: lambda state, _event, _at: setattr(state, "status", "stopping"),
    events.LayerStarted: _start_layer,
    events.LayerEnded: lambda state, event, _at: state.end_layer(event),
    events.LayerStopped: lambda state, event, _at: state.end_layer(event),
    events.LayerRestarted: _restart_layer,
    events.TaskRetried: _retry_task,
    events.TaskReset: _reset_task,
    events.TaskEnded: _end_task,
    events.ArtifactDamaged: _remake,
    events.CheckpointWritten: _write_checkpoint,
    events.RequestAccepted: _accept_request,
    events.RankSuspected: lambda state, event, _at: state.suspects.update({event.rank: event}),
    events.RankRecovered: _recover_rank,
    events.RankLost: lambda state, event, _at: state.lost.append(event),
    events.WorldShrunk: lambda state, event, _at: state.shrink(event),
}
