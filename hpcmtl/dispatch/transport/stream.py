"""The command stream: rank 0 sends commands to groups of ranks, in order, without loss, and with bounded credit.

A command for a wide group travels down a binomial tree: the sender sends one message, and each receiver passes it on
before it executes it. For a narrow group the sender sends all messages itself, which costs less time than receivers
take to notice a message. Messages to one rank come by different ways, so each carries its number in that rank's order,
and a receiver holds back what comes early.

`post` returns at once while there is credit, which is the number of commands that a rank may have and not have
executed. When ranks are lost, and messages with them, both ends go on over another communicator (`move`): the sender
keeps what a member is not known to have executed, and sends it again under the same number.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.base import CommunicationError, RankLostError
from hpcmtl.communicators.polling import next_message
from hpcmtl.dispatch.membership.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Event

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.communicators.polling import Message

CREDIT = 64
"""Commands that a rank may have and not have executed."""

NARROW = 16
"""Width up to which the sender sends all messages itself: some microseconds each, where a receiver looks for messages
every 0.2 to 5 ms."""


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Limits of the sending end.

    Attributes:
        credit: as `CREDIT`; the receivers have the same.
        patience: seconds without a message from a rank that is waited for, after which it counts as silent.
        narrow: as `NARROW`.
    """

    credit: int = CREDIT
    patience: float = 300.0
    narrow: int = NARROW


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """A command that a member may not have executed, with its number in that member's order."""

    value: Any
    number: int
    acknowledge: bool


@dataclass(frozen=True, kw_only=True)
class _Envelope:
    """A command on its way down the tree.

    Attributes:
        value: the command.
        ranks: ranks that get it from here on, the receiver first.
        numbers: number of the command in the order of each of them.
        acknowledge: whether each of them acknowledges at once that it has executed the command.
    """

    value: Any
    ranks: Sequence[int]
    numbers: tuple[int, ...]
    acknowledge: bool

    def pass_on(self, comm: Communicator) -> list[SendHandle]:
        """Sends it to the upper half of the ranks, then to the upper half of the rest, until the receiver is left."""
        handles, count = [], len(self.ranks)
        while count > 1:
            half = (count + 1) // 2
            upper = _Envelope(
                value=self.value,
                ranks=self.ranks[half:count],
                numbers=self.numbers[half:count],
                acknowledge=self.acknowledge,
            )
            handles.append(comm.isend(upper, upper.ranks[0]))
            count = half
        return handles


class CommandSender:
    """The end that sends commands; for one thread, on a communicator of its own."""

    def __init__(
        self, comm: Communicator, stop: Event, world: World | None = None, settings: StreamSettings | None = None
    ) -> None:
        """Starts a stream.

        Args:
            comm: a duplicate of the world's communicator for this stream alone.
            stop: ends the waiting for credit.
            world: the members; by default those of the start.
            settings: limits, if other than the defaults.
        """
        self._comm, self._stop, self._world = comm, stop, world or World.first(comm.size)
        self._settings = settings or StreamSettings()
        # By member:
        self._posted: Counter[int] = Counter()
        self._executed: Counter[int] = Counter()
        self._kept: defaultdict[int, deque[_Sent]] = defaultdict(deque)
        self._sending: list[SendHandle] = []

    def post(self, value: Any, members: Sequence[int], *, acknowledge: bool = False) -> None:
        """Sends a command to some other members; waits only while one of them has no credit left.

        If a member is lost, nothing is raised: the command is kept for `move`.

        Args:
            value: the command.
            members: receivers.
            acknowledge: whether each receiver acknowledges at once that it has executed the command, see
                `all_executed`.

        Raises:
            CommunicationError: a member that is waited for stays silent; the text names it.
        """
        with suppress(RankLostError):
            self._wait(lambda: [member for member in members if self.pending(member) >= self._settings.credit])
        with suppress(RankLostError):
            self._sending = [handle for handle in self._sending if not handle.test()]
        for member in members:
            self._kept[member].append(_Sent(value=value, number=self._posted[member], acknowledge=acknowledge))
        narrow = len(members) <= self._settings.narrow
        for part in [[member] for member in members] if narrow else [members]:
            numbers = tuple(self._posted[member] for member in part)
            ranks = self._world.ranks_of(part)
            self._send(_Envelope(value=value, ranks=ranks, numbers=numbers, acknowledge=acknowledge))
        self._posted.update(members)

    def pending(self, member: int) -> int:
        """Returns the number of commands that a member was sent and is not known to have executed."""
        return self._posted[member] - self._executed[member]

    def all_executed(self) -> bool:
        """Returns whether every member is known to have executed all its commands; does not wait."""
        self._receive(0.0)
        return all(self.pending(member) == 0 for member in self._posted if member in self._world)

    def move(self, comm: Communicator, world: World, executed: Mapping[int, int], renew: Callable[[Any], Any]) -> None:
        """Goes on over the communicator of a smaller world, and sends again what its members have not executed.

        Args:
            comm: communicator of the members, for this stream alone.
            world: the members that live.
            executed: number of commands that each member has executed.
            renew: returns the command that replaces one from before the loss.
        """
        self._comm, self._world, self._sending = comm, world, []
        self._executed = Counter(dict(executed))
        kept, self._kept = self._kept, defaultdict(deque)
        for member in world.members:
            for old in kept[member]:
                if old.number >= executed[member]:
                    again = _Sent(value=renew(old.value), number=old.number, acknowledge=old.acknowledge)
                    self._kept[member].append(again)
                    self._send_alone(member, again)

    def close(self) -> None:
        """Waits until everything has left."""
        for handle in self._sending:
            handle.wait()

    def _send_alone(self, member: int, kept: _Sent) -> None:
        ranks, numbers = [self._world.rank_of(member)], (kept.number,)
        self._send(_Envelope(value=kept.value, ranks=ranks, numbers=numbers, acknowledge=kept.acknowledge))

    def _send(self, envelope: _Envelope) -> None:
        with suppress(RankLostError):  # the command is kept; the next look for messages reports the loss
            self._sending.append(self._comm.isend(envelope, envelope.ranks[0]))

    def _wait(self, missing: Callable[[], list[int]]) -> None:
        """Takes in acknowledgements until no member is missing."""
        self._receive(0.0)
        patience = self._settings.patience
        end = time.monotonic() + patience
        while late := missing():
            if self._receive(min(patience, 1.0)):
                end = time.monotonic() + patience
            elif self._stop.is_set() or time.monotonic() > end:
                why = "the stream was stopped" if self._stop.is_set() else f"no message for {patience:g} s"
                raise CommunicationError(f"ranks {', '.join(map(str, late))} have not executed their commands: {why}")

    def _receive(self, seconds: float) -> bool:
        """Takes in what has come, and waits up to some seconds for the first message; returns whether there was any."""
        received = False
        while (message := next_message(self._comm, self._stop, 0.0 if received else seconds)) is not None:
            member, received = self._world.member_of(message.source), True
            self._executed[member] = max(self._executed[member], message.value)
            while self._kept[member] and self._kept[member][0].number < self._executed[member]:
                self._kept[member].popleft()
        return received


class CommandReceiver:
    """The end that executes commands; for one thread, on a communicator of its own.

    Attributes:
        executed: number of commands that the control thread has carried out, or queued for the main thread. A
            `RunLayer` counts as soon as it is queued, before its layer begins.
    """

    def __init__(self, comm: Communicator, sender: int = 0, credit: int = CREDIT) -> None:
        """Starts to receive.

        Args:
            comm: communicator of the stream.
            sender: rank of the sender.
            credit: as that of the sender; acknowledgements are sent after each half of it.
        """
        self._comm, self._sender = comm, sender
        self._often = max(credit // 2, 1)
        self._early: dict[int, _Envelope] = {}
        self.executed = 0
        self._sending: list[SendHandle] = []

    def take(self, message: Message, execute: Callable[[Any], None]) -> int:
        """Takes a message and executes all commands whose turn it is.

        Returns:
            Number of commands that were executed.
        """
        envelope: _Envelope = message.value
        self._sending = [sending for sending in self._sending if not sending.test()]
        self._sending += envelope.pass_on(self._comm)
        self._early[envelope.numbers[0]] = envelope
        before = self.executed
        while (due := self._early.pop(self.executed, None)) is not None:
            execute(due.value)
            self.executed += 1
            if due.acknowledge or self.executed % self._often == 0:
                self._sending.append(self._comm.isend(self.executed, self._sender))
        return self.executed - before

    def move(self, comm: Communicator) -> None:
        """Goes on over another communicator; see `CommandSender.move`."""
        self._comm, self._early, self._sending = comm, {}, []

    def close(self) -> None:
        """Waits until everything has left."""
        for sending in self._sending:
            sending.wait()
