"""The layer that a rank was ordered last, as its control thread knows it."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.survivors import SurvivorReport
from hpcmtl.dispatch.membership.world import COORDINATOR
from hpcmtl.dispatch.protocol import EventReport, LayerDone, LayerFailed
from hpcmtl.dispatch.rank.stacks import place_of_main_thread, stacks
from hpcmtl.logs import layer_context
from hpcmtl.results.events import RankStuck

if TYPE_CHECKING:
    from hpcmtl.dispatch.membership.world import World
    from hpcmtl.dispatch.protocol import Abandon, Report, RunLayer
    from hpcmtl.dispatch.rank.communicators import RankCommunicators

_log = logging.getLogger(__name__)

STUCK_SECONDS = 30.0
"""Seconds in which a main thread must come out of a layer that was given up; a rank that takes longer is lost.
Training comes out as soon as it communicates."""

SECONDS_A_TURN = 3.0
"""Seconds between the ends of two members that wait in a stuck layer; in them the others hear of a death."""

TURNS = 32
"""Number of turns; in a wider group several members end themselves in each."""

# Functions of communicators and of frameworks that wait for other ranks, or for an operation that does.
_WAITS_OF_COMMUNICATORS = {"Allreduce", "Bcast", "Recv", "Send", "allgather", "barrier", "bcast", "gather", "recv"}
_WAITS = _WAITS_OF_COMMUNICATORS | {"asnumpy", "synchronize", "wait", "wait_to_read", "waitall"}


class CurrentLayer:
    """Tells whether the main thread is in its layer, or stuck there; for the control thread alone.

    Attributes:
        layer: layer that was ordered last; None before the first.
        training: whether the main thread is in the layer, or will be.
    """

    def __init__(self, comms: RankCommunicators) -> None:
        self.layer: RunLayer | None = None
        self.training = False
        self._comms = comms
        self._result: LayerDone | LayerFailed | None = None  # the main thread's report on it
        self._stuck_at = math.inf  # seconds by which the main thread must be out of a layer that lost a rank

    def __str__(self) -> str:
        """Returns its task and number, for messages."""
        return "no layer" if self.layer is None else f"task {self.layer.task}, layer {self.layer.layer}"

    @property
    def start_number(self) -> int:
        """Number of the layer, see `RunLayer.start_number`; 0 before the first."""
        return 0 if self.layer is None else self.layer.start_number

    def begin(self, command: RunLayer) -> None:
        """Takes note of an ordered layer."""
        self.training, self.layer, self._result = True, command, None

    def note(self, report: Report) -> Report:
        """Takes note of a report of the main thread, and returns it."""
        if isinstance(report, LayerDone | LayerFailed):
            assert self.layer is not None, "the main thread reports on a layer that was never ordered"
            self.training, self._stuck_at = False, math.inf
            self._result = report
        return report

    def abandon(self, start_number: int, seconds: float = STUCK_SECONDS) -> None:
        """Gives up the group of a layer; if it is the current one, the main thread must be out in some seconds."""
        self._comms.give_up(start_number)
        if self.training and self.start_number == start_number:
            self._stuck_at = min(self._stuck_at, time.monotonic() + seconds)

    def give_up_stuck(self, command: Abandon, member: int, *, survives: bool) -> EventReport | None:
        """Gives up a layer that makes no step: writes the stacks of all threads to the log, and tells where it waits.

        A rank that waits for others has more time to come out than one that works: some collectives end only when the
        rank dies that they wait for. If all seem to wait, they end themselves one after the other, the last member
        first. The rank that coordinates is later than others, so that the record has an end if all are stuck.

        Args:
            command: the order.
            member: this member.
            survives: whether ranks may leave the layer, and go on after the loss of others.

        Returns:
            A report on where the main thread is; None if it is not in this layer.
        """
        layer = self.layer
        if layer is None or not self.training or self.start_number != command.start_number:
            return None
        with layer_context(layer.task, layer.layer):
            _log.debug("task %s, layer %d makes no step:\n%s", layer.task, layer.layer, stacks())
        place = place_of_main_thread()
        if survives:
            waits = place.rpartition(" ")[2] in _WAITS
            turn = 1 + layer.group[::-1].index(member) % TURNS if waits else int(member == COORDINATOR)
            self.abandon(command.start_number, min(command.stuck, STUCK_SECONDS) + turn * SECONDS_A_TURN)
        return EventReport(RankStuck(task=layer.task, layer=layer.layer, rank=member, place=place))

    def stuck(self) -> bool:
        """Returns whether the main thread has not come out in time of a layer whose group was given up.

        Writes its stack to the log then: the rank ends itself, and nothing else tells where it was.
        """
        if self._stuck_at < math.inf:
            self._comms.enforce()
        late = time.monotonic() > self._stuck_at
        if late:
            _log.debug("%s was given up, and the main thread is still in it:\n%s", self, stacks())
        return late

    def change_world(self, world: World) -> None:
        """Gives up the layer if its group lost a member: no other member may wait in it."""
        if self.layer is not None and self.training and world.intact(self.layer.group) is None:
            self.abandon(self.layer.start_number)

    def survivor_report(self, member: int, done: int, signal: str) -> SurvivorReport:
        """Returns the report of this member at a loss; `done` commands of the stream are executed."""
        return SurvivorReport(
            member=member, done=done, start_number=self.start_number, report=self._result, signal=signal
        )
