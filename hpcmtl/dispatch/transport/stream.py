"""The command stream: one rank sends commands to blocks of ranks, in order, without loss, and never too many at once.

A command for a wide block goes down a binomial tree: its sender sends one message, and each receiver passes it on
before it obeys. For a narrow one the sender sends all messages itself, which costs less than the receivers take to
notice. Messages to one rank come by different ways, so each carries its number in that rank's order, and what comes
early is held back.

When ranks are lost, and messages with them, both ends go on over another communicator (`move`): the sender keeps what a
rank is not known to have done, and gives it again.

`post` is asynchronous: it returns at once while there is credit, which is how many commands a rank may have that it has
not done. `call` is synchronous: it returns when every member has done the command.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.base import CommunicationError, RankLostError
from hpcmtl.communicators.polling import next_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.communicators.polling import Message

CREDIT = 64
"""Commands that a rank may have and not have done."""

NARROW = 16
"""Ranks up to which the sender sends all messages itself: some microseconds each, where a receiver looks for messages
every 0.2 to 5 ms."""


@dataclass(frozen=True)
class _Command:
    """What travels down the tree.

    Attributes:
        value: the command.
        ranks: who is to get it from here on, the receiver first.
        numbers: its place in the order of each of them.
        told: whether each of them tells at once when it has done it.
    """

    value: Any
    ranks: Sequence[int]
    numbers: tuple[int, ...]
    told: bool

    def pass_on(self, comm: Communicator) -> list[SendHandle]:
        """Send it to the upper half, and again to the upper half of the rest, until the receiver alone is left."""
        handles, count = [], len(self.ranks)
        while count > 1:
            half = (count + 1) // 2
            upper = _Command(self.value, self.ranks[half:count], self.numbers[half:count], self.told)
            handles.append(comm.isend(upper, upper.ranks[0]))
            count = half
        return handles


class CommandSender:
    """The end that gives commands; for one thread, on a communicator of its own."""

    def __init__(
        self, comm: Communicator, stop: Event, credit: int = CREDIT, patience: float = 300.0, narrow: int = NARROW
    ) -> None:
        """Begin.

        Args:
            comm: a duplicate of the world for this stream alone.
            stop: ends waiting for credit and for what `call` waits for.
            credit: as `CREDIT`; the receivers have the same.
            patience: seconds that may pass without word from a rank that is waited for.
            narrow: as `NARROW`.
        """
        self._comm, self._stop, self._narrow = comm, stop, narrow
        self._credit, self._patience = credit, patience
        self._given: Counter[int] = Counter()
        self._done: Counter[int] = Counter()
        self._kept: defaultdict[int, deque[_Command]] = defaultdict(deque)  # what a rank may not have done, in order
        self._sending: list[SendHandle] = []

    def post(self, value: Any, ranks: Sequence[int], *, told: bool = False) -> None:
        """Give a command to some other ranks; waits only where one of them has no credit left.

        If it is to be `told`, each of them tells at once when it has done it; see `all_done`. Where a rank is lost
        nothing is raised, as the command is kept for `move`.

        Raises:
            CommunicationError: if a rank that is waited for says nothing; it is named.
        """
        self._give(value, ranks, told=told)

    def call(self, value: Any, ranks: Sequence[int]) -> None:
        """Give a command to some other ranks, and return when all of them have done it.

        Raises:
            CommunicationError: see `post`.
        """
        self._give(value, ranks, told=True)
        wanted = {rank: self._given[rank] for rank in ranks}
        self._wait(lambda: [rank for rank in ranks if self._done[rank] < wanted[rank]])

    def pending(self, rank: int) -> int:
        """Commands that a rank has been given and is not known to have done."""
        return self._given[rank] - self._done[rank]

    def all_done(self) -> bool:
        """Whether every rank is known to have done all its commands; does not wait."""
        self._hear(0.0)
        return all(self.pending(rank) == 0 for rank in self._given)

    def move(
        self, comm: Communicator, survivors: Sequence[int], done: Sequence[int], renew: Callable[[Any], Any]
    ) -> None:
        """Go on over a communicator of the ranks that live, and give them again what they have not done.

        Args:
            comm: for this stream alone.
            survivors: old numbers of its ranks.
            done: commands that each of its ranks has done.
            renew: gives a command as it reads with new numbers.
        """
        kept, given = self._kept, self._given
        self._comm, self._sending = comm, []
        self._kept, self._given = defaultdict(deque), Counter()
        self._done = Counter(dict(enumerate(done)))
        for rank, old in enumerate(survivors):
            self._given[rank] = given[old]
            for command in kept[old]:
                if command.numbers[0] >= done[rank]:
                    again = _Command(renew(command.value), [rank], command.numbers, command.told)
                    self._kept[rank].append(again)
                    self._send(again, rank)

    def close(self) -> None:
        """Wait until everything has left."""
        for handle in self._sending:
            handle.wait()

    def _send(self, command: _Command, rank: int) -> None:
        with suppress(RankLostError):  # it is kept; who looks for messages next hears of the loss
            self._sending.append(self._comm.isend(command, rank))

    def _give(self, value: Any, ranks: Sequence[int], *, told: bool) -> None:
        with suppress(RankLostError):
            self._wait(lambda: [rank for rank in ranks if self.pending(rank) >= self._credit])
        blocks = [[rank] for rank in ranks] if len(ranks) <= self._narrow else [ranks]
        with suppress(RankLostError):
            self._sending = [handle for handle in self._sending if not handle.test()]
        for rank in ranks:
            self._kept[rank].append(_Command(value, [rank], (self._given[rank],), told))
        for block in blocks:
            self._send(_Command(value, block, tuple(self._given[rank] for rank in block), told), block[0])
        self._given.update(ranks)

    def _wait(self, missing: Callable[[], list[int]]) -> None:
        """Take in what receivers tell until no rank is missing."""
        self._hear(0.0)
        end = time.monotonic() + self._patience
        while late := missing():
            if self._hear(min(self._patience, 1.0)):
                end = time.monotonic() + self._patience
            elif self._stop.is_set() or time.monotonic() > end:
                why = "the stream was stopped" if self._stop.is_set() else f"no word for {self._patience:g} s"
                raise CommunicationError(f"ranks {', '.join(map(str, late))} have not done their commands: {why}")

    def _hear(self, seconds: float) -> bool:
        """Take in what has come, waiting for the first so long; say whether there was any."""
        heard = False
        while (message := next_message(self._comm, self._stop, 0.0 if heard else seconds)) is not None:
            rank, heard = message.source, True
            self._done[rank] = max(self._done[rank], message.value)
            while self._kept[rank] and self._kept[rank][0].numbers[0] < self._done[rank]:
                self._kept[rank].popleft()
        return heard


class CommandReceiver:
    """The end that obeys; for one thread, on a communicator of its own."""

    def __init__(self, comm: Communicator, sender: int = 0, credit: int = CREDIT) -> None:
        self._comm, self._sender = comm, sender
        self._often = max(credit // 2, 1)
        self._early: dict[int, _Command] = {}
        self.done = 0  # commands that were obeyed
        self._sending: list[SendHandle] = []

    def obey(self, handle: Callable[[Any], None], stop: Event, timeout: float) -> int:
        """Wait for a message, and do all commands whose turn it is; return how many.

        Args:
            handle: does one command.
            stop: ends the wait.
            timeout: seconds to wait at most.
        """
        message = next_message(self._comm, stop, timeout)
        return 0 if message is None else self.take(message, handle)

    def take(self, message: Message, handle: Callable[[Any], None]) -> int:
        """As `obey`, for a message that has come."""
        command: _Command = message.value
        self._sending = [sending for sending in self._sending if not sending.test()]
        self._sending += command.pass_on(self._comm)
        self._early[command.numbers[0]] = command
        before = self.done
        while (due := self._early.pop(self.done, None)) is not None:
            handle(due.value)
            self.done += 1
            if due.told or self.done % self._often == 0:
                self._sending.append(self._comm.isend(self.done, self._sender))
        return self.done - before

    def move(self, comm: Communicator) -> None:
        """Go on over another communicator; see `CommandSender.move`."""
        self._comm, self._early, self._sending = comm, {}, []

    def close(self) -> None:
        """Wait until everything has left."""
        for sending in self._sending:
            sending.wait()
