"""Routes messages between ranks that are threads; every wait is on one condition."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcmtl.communicators.base import ANY, CommunicationError, RankLostError

if TYPE_CHECKING:
    from collections.abc import Iterable


class DeadRankError(BaseException):
    """Ends the threads of a rank that has died; no `Exception`, so that no handler on the way catches it."""


class Address(NamedTuple):
    """The address of an inbox; the plane separates users' messages from those of collective methods and new groups."""

    context: int
    plane: str
    rank: int


class QueuedMessage(NamedTuple):
    """A message from one rank to another."""

    source: int
    tag: int
    content: Any


class Expected:
    """A receive that was started: it gets the first matching message that no earlier receive takes."""

    def __init__(self, source: int, tag: int, address: Address) -> None:
        self.source, self.tag, self.address = source, tag, address
        self.message: QueuedMessage | None = None

    def fits(self, message: QueuedMessage) -> bool:
        """Returns whether a message matches this receive."""
        return self.source in (ANY, message.source) and self.tag in (ANY, message.tag)


class Gathered:
    """The ranks that have called `shrink` on a communicator, and the result."""

    def __init__(self) -> None:
        self.came: set[int] = set()
        self.made: tuple[int, tuple[int, ...]] | None = None  # the new context, and the living ranks


class MessageRouter:
    """The inboxes of all ranks of a world, their first failure, and the ranks that have died."""

    def __init__(self) -> None:
        self.failure: tuple[int, BaseException] | None = None
        self._dead: set[int] = set()
        self._revoked: set[int] = set()
        self._members: dict[int, tuple[int, ...]] = {}
        self._gathering: dict[int, Gathered] = {}
        self._changed = threading.Condition()
        self._inboxes: defaultdict[Address, deque[QueuedMessage]] = defaultdict(deque)
        self._expected: defaultdict[Address, list[Expected]] = defaultdict(list)
        self._contexts = itertools.count()

    def new_context(self) -> int:
        """Returns a number that no communicator has yet."""
        return next(self._contexts)

    def fail(self, rank: int, error: BaseException) -> None:
        """Ends all waits, since a rank has raised."""
        with self._changed:
            self.failure = self.failure or (rank, error)
            self._changed.notify_all()

    def enter(self, context: int, members: tuple[int, ...]) -> None:
        """Takes note of the ranks of the world that a communicator has, in its order."""
        with self._changed:
            self._members[context] = members

    def members(self, context: int, places: Iterable[int]) -> tuple[int, ...]:
        """Returns the ranks in the world of some ranks of a communicator."""
        with self._changed:
            return tuple(self._members[context][place] for place in places)

    def check_alive(self, context: int, place: int) -> None:
        """Raises on a rank that has died: its threads end here."""
        with self._changed:
            if self._members[context][place] in self._dead:
                raise DeadRankError

    def die(self, rank: int) -> None:
        """Marks a rank of the world as dead."""
        with self._changed:
            self._dead.add(rank)
            self._changed.notify_all()

    def revoke(self, context: int) -> None:
        """Ends all waits on a communicator."""
        with self._changed:
            self._revoked.add(context)
            self._changed.notify_all()

    def shrink(self, context: int, rank: int) -> tuple[int, tuple[int, ...]]:
        """Waits until all living members have called it; returns a new context, and the living ranks."""
        with self._changed:
            gathered = self._gathering.setdefault(context, Gathered())
            gathered.came.add(rank)
            while gathered.made is None:
                self._check_failure()
                members = self._members[context]
                living = tuple(place for place, member in enumerate(members) if member not in self._dead)
                if gathered.came.issuperset(living):
                    gathered.made = self.new_context(), living
                    self._members[gathered.made[0]] = tuple(members[place] for place in living)
                    del self._gathering[context]
                    self._changed.notify_all()
                else:
                    self._changed.wait()
            return gathered.made

    def post(self, address: Address, message: QueuedMessage) -> None:
        """Gives a message to the first matching receive, or leaves it in the inbox."""
        with self._changed:
            self._check(address, address.rank)
            waiting = next((each for each in self._expected[address] if each.fits(message)), None)
            if waiting is None:
                self._inboxes[address].append(message)
            else:
                waiting.message = message
                self._expected[address].remove(waiting)
            self._changed.notify_all()

    def expect(self, address: Address, source: int, tag: int) -> Expected:
        """Starts a receive: of the oldest matching message, or of the next one that comes."""
        with self._changed:
            expected = Expected(source, tag, address)
            expected.message = self._find(address, source, tag)
            if expected.message is None:
                self._expected[address].append(expected)
            else:
                self._remove(address, expected.message)
            return expected

    def arrived(self, expected: Expected) -> bool:
        """Returns whether the message of a receive has come."""
        with self._changed:
            if expected.message is None:
                self._check(expected.address, expected.source)
            return expected.message is not None

    def await_expected(self, expected: Expected) -> QueuedMessage:
        """Waits for the message of a receive."""
        with self._changed:
            while expected.message is None:
                self._check(expected.address, expected.source)
                self._changed.wait()
            return expected.message

    def peek(self, address: Address, source: int, tag: int) -> QueuedMessage | None:
        """Returns the oldest matching message, or None."""
        with self._changed:
            self._check(address, source)
            return self._find(address, source, tag)

    def take(self, address: Address, source: int, tag: int) -> QueuedMessage:
        """Waits for the oldest matching message and removes it."""
        with self._changed:
            while address.context in self._revoked or (message := self._find(address, source, tag)) is None:
                self._check(address, source)
                if self._members[address.context][address.rank] in self._dead:
                    raise DeadRankError
                self._changed.wait()
            self._remove(address, message)
            return message

    def _remove(self, address: Address, message: QueuedMessage) -> None:
        inbox = self._inboxes[address]
        # By identity: messages hold arrays, whose == is not a truth value.
        del inbox[next(index for index, other in enumerate(inbox) if other is message)]

    def _find(self, address: Address, source: int, tag: int) -> QueuedMessage | None:
        fits = (m for m in self._inboxes[address] if source in (ANY, m.source) and tag in (ANY, m.tag))
        return next(fits, None)

    def _check(self, address: Address, other: int) -> None:
        """Raises if no message of a rank, or of any rank, can come any more."""
        self._check_failure()
        if address.context in self._revoked:
            raise RankLostError("this communicator was revoked")
        members = self._members[address.context]
        dead = [place for place in (range(len(members)) if other == ANY else [other]) if members[place] in self._dead]
        if dead:
            raise RankLostError(f"rank {dead[0]} of {len(members)} has died")

    def _check_failure(self) -> None:
        if self.failure is not None:
            rank, error = self.failure
            raise CommunicationError(f"the world has ended: rank {rank} raised {type(error).__name__}: {error}")
