"""The notable events of a run: faults, retries, losses of ranks, requests of users, stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.report.facts.values import NotableEvent
from hpcmtl.results import events
from hpcmtl.results.format import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcmtl.report.facts.timeline import Timeline
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.ledger import LedgerEntry


def notable_events(entries: Sequence[LedgerEntry], course: Timeline) -> tuple[NotableEvent, ...]:
    """Returns the notable events, in order."""
    found = []
    for number, (event, _) in enumerate(entries):
        words = _WORDS.get(type(event))
        text = "" if words is None else words(event)
        if text:
            task = str(getattr(event, "task", ""))
            at, attempt = course.times[number], course.numbers[number]
            found.append(NotableEvent(at=at, attempt=attempt, event=event.name, task=task, text=text))
    return tuple(found)


def _ended(event: events.TaskEnded) -> str:
    if event.status == "complete":
        return ""
    return f"{event.status}: {event.message}" if event.message else event.status


def _lost(event: events.RankLost) -> str:
    where = f", in layer {event.layer + 1}, step {event.step}" if event.task else ""
    return f"rank {event.rank} on {event.host or 'an unknown host'} died{where}"


def _restarted(event: events.LayerRestarted) -> str:
    lost = ", ".join(map(str, event.lost))
    return f"layer {event.layer + 1} begins again{f' after the loss of rank {lost}' if lost else ''}"


def _stopped(event: events.TrainingStopped) -> str:
    what = f"head {event.head}" if event.head else "training"
    return f"{what} ended early at step {event.step}: {event.monitor} was best in epoch {event.best_epoch + 1}"


def _request(event: events.RequestAnswered) -> str:
    asked = ", ".join(f"{key}={value}" for key, value in event.values.items())
    verb = "accepted" if isinstance(event, events.RequestAccepted) else "refused"
    return f"{verb}: {event.verb or 'request'} {asked} {event.message} ({event.by or 'unknown user'})"


_WORDS: Mapping[type[RunEvent], Callable[[Any], str]] = {
    events.JobStopping: lambda event: f"the job stops: {event.reason}",
    events.JobPaused: lambda event: f"all tasks wait: paused {', '.join(event.tasks)}",
    events.LayerRestarted: _restarted,
    events.LayerLate: lambda event: f"no report of layer {event.layer + 1} for long",
    events.LayerStuck: lambda event: f"layer {event.layer + 1} made no step for {event.seconds:.0f} s and is given up",
    events.RankStuck: lambda event: f"rank {event.rank} was at {event.place}",
    events.TaskEnded: _ended,
    events.TaskRetried: lambda event: f"retry {event.retry} of {event.retries} after: {event.message}",
    events.TaskNoted: lambda event: event.text,
    events.TaskReset: lambda event: f"begins again, changed: {', '.join(event.changed)}",
    events.ArtifactDamaged: lambda event: f"its artifact was damaged, and is made again: {event.message}",
    events.CheckpointDamaged: lambda event: f"checkpoint {event.file} was damaged: {event.message}",
    events.LearningRateChanged: lambda event: f"learning rate {event.learning_rate:g} from step {event.step} on",
    events.TrainingStopped: _stopped,
    events.RequestAccepted: _request,
    events.RequestRefused: _request,
    events.RankFailed: lambda event: f"error on rank {event.rank}, layer {event.layer + 1}: {event.message}",
    events.RankSuspected: lambda event: f"no heartbeat of rank {event.rank} for {event.seconds:.0f} s",
    events.RankRecovered: lambda event: f"rank {event.rank} is heard again after {event.seconds:.0f} s",
    events.RankHung: lambda event: f"rank {event.rank} on {event.host} hung for {event.seconds:.0f} s: {event.doing}",
    events.RankLost: _lost,
    events.WorldShrunk: lambda event: f"the run goes on with {counted(event.ranks, 'rank')}",
}
