"""The course of a run by its ledger: attempts, the task layers that ran, and the seconds for which ranks lived."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcmtl.report.facts.values import AttemptFacts, GanttPiece
from hpcmtl.results import events
from hpcmtl.results.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.results.ledger import LedgerEntry


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The course of a run.

    Attributes:
        state: state after the last event.
        attempts: all attempts.
        pieces: task layers that were run, by start.
        times: time of each entry of the ledger, on the axis of the run.
        numbers: number of the attempt of each entry.
        rank_seconds: ranks that lived times seconds.
    """

    state: RunState
    attempts: tuple[AttemptFacts, ...]
    pieces: tuple[GanttPiece, ...]
    times: tuple[float, ...]
    numbers: tuple[int, ...]
    rank_seconds: float


def timeline_of(entries: Sequence[LedgerEntry]) -> Timeline:
    """Returns the course of a run; a layer without an end lasts until the last event of its attempt."""
    reader = _TimelineReader()
    for event, at in entries:
        reader.take(event, at)
    return reader.finished()


class _TimelineReader:
    """Reads the events of a run in their order."""

    def __init__(self) -> None:
        self.state = RunState()
        self.attempts: list[AttemptFacts] = []
        self.pieces: list[GanttPiece] = []
        self.open: dict[str, GanttPiece] = {}
        self.times: list[float] = []
        self.numbers: list[int] = []
        self.rank_seconds = 0.0
        self.now = 0.0

    def take(self, event: events.RunEvent, at: float) -> None:
        """Takes in the next event."""
        if isinstance(event, events.JobStarted):
            self._begin(event, at)
        elif self.attempts:
            self._advance(at)
        self.state.take(event, at)
        self.times.append(self.now)
        self.numbers.append(self.attempts[-1].number if self.attempts else 0)
        match event:
            case events.LayerStarted():
                first, last = self.state.group_of(event)
                self._close(event.task, "lost")
                self.open[event.task] = GanttPiece(
                    task=event.task,
                    layer=event.layer,
                    first_rank=first,
                    last_rank=last,
                    ranks=event.ranks,
                    start=self.now,
                    outcome="running",
                )
            case events.LayerEnded():
                self._close(event.task, "ended")
            case events.LayerStopped():
                self._close(event.task, "stopped")
            case events.LayerRestarted() | events.TaskRetried() | events.TaskEnded():
                self._close(event.task, "lost")
            case events.JobEnded():
                self._end(event.status)

    def finished(self) -> Timeline:
        """Returns the course; layers that run are pieces without an end of their own."""
        running = [replace(piece, end=self.now) for piece in self.open.values()]
        return Timeline(
            state=self.state,
            attempts=tuple(self.attempts),
            pieces=tuple(sorted([*self.pieces, *running], key=lambda piece: piece.start)),
            times=tuple(self.times),
            numbers=tuple(self.numbers),
            rank_seconds=self.rank_seconds,
        )

    def _begin(self, event: events.JobStarted, at: float) -> None:
        if self.attempts and self.attempts[-1].status == "running":
            self._end("lost")
        number = event.attempt or len(self.attempts) + 1
        begun = AttemptFacts(number=number, began=at, start=self.now, ranks=event.ranks, host=event.host)
        self.attempts.append(begun)

    def _advance(self, at: float) -> None:
        """Moves on to the time of an event; a clock that was set back does not count."""
        attempt = self.attempts[-1]
        passed = max(attempt.start + at - attempt.began, self.now) - self.now
        self.rank_seconds += passed * self.state.ranks
        self.now += passed
        self.attempts[-1] = replace(attempt, seconds=self.now - attempt.start)

    def _end(self, status: str) -> None:
        for task in list(self.open):
            self._close(task, "lost")
        self.attempts[-1] = replace(self.attempts[-1], status=status)

    def _close(self, task: str, outcome: str) -> None:
        piece = self.open.pop(task, None)
        if piece is not None:
            self.pieces.append(replace(piece, end=self.now, outcome=outcome))
