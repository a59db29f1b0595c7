"""Where ranks that are threads leave messages for each other; every wait is on one condition."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict, deque
from typing import Any, NamedTuple

from hpcmtl.communicators.base import ANY, CommunicationError


class Address(NamedTuple):
    """One inbox. The planes keep what users send apart from what collective verbs and new groups send."""

    context: int
    plane: str
    rank: int


class Message(NamedTuple):
    """What one rank sent another."""

    source: int
    tag: int
    content: Any


class Expected:
    """A message that somebody has asked for in advance: the first that fits, after those asked for before."""

    def __init__(self, source: int, tag: int) -> None:
        self.source, self.tag = source, tag
        self.message: Message | None = None

    def fits(self, message: Message) -> bool:
        """Whether a message is what was asked for."""
        return self.source in (ANY, message.source) and self.tag in (ANY, message.tag)


class Switchboard:
    """The inboxes of all ranks of a world, and the first failure among them."""

    def __init__(self) -> None:
        self.failure: tuple[int, BaseException] | None = None
        self._changed = threading.Condition()
        self._inboxes: defaultdict[Address, deque[Message]] = defaultdict(deque)
        self._expected: defaultdict[Address, list[Expected]] = defaultdict(list)
        self._contexts = itertools.count()

    def new_context(self) -> int:
        """Number that no communicator has yet."""
        return next(self._contexts)

    def fail(self, rank: int, error: BaseException) -> None:
        """End all waits: a rank has raised."""
        with self._changed:
            self.failure = self.failure or (rank, error)
            self._changed.notify_all()

    def post(self, address: Address, message: Message) -> None:
        """Hand a message to the first who expects it, or leave it in the inbox."""
        with self._changed:
            waiting = next((each for each in self._expected[address] if each.fits(message)), None)
            if waiting is None:
                self._inboxes[address].append(message)
            else:
                waiting.message = message
                self._expected[address].remove(waiting)
            self._changed.notify_all()

    def expect(self, address: Address, source: int, tag: int) -> Expected:
        """Ask for the oldest message that fits, or for the next that comes."""
        with self._changed:
            expected = Expected(source, tag)
            expected.message = self._find(address, source, tag)
            if expected.message is None:
                self._expected[address].append(expected)
            else:
                self._remove(address, expected.message)
            return expected

    def arrived(self, expected: Expected) -> bool:
        """Say whether what was asked for has come."""
        with self._changed:
            if expected.message is None:
                self._check()
            return expected.message is not None

    def await_expected(self, expected: Expected) -> Message:
        """Wait for what was asked for."""
        with self._changed:
            while expected.message is None:
                self._check()
                self._changed.wait()
            return expected.message

    def peek(self, address: Address, source: int, tag: int) -> Message | None:
        """Return the oldest message that fits, or None."""
        with self._changed:
            self._check()
            return self._find(address, source, tag)

    def take(self, address: Address, source: int, tag: int) -> Message:
        """Wait for the oldest message that fits and remove it."""
        with self._changed:
            while (message := self._find(address, source, tag)) is None:
                self._check()
                self._changed.wait()
            self._remove(address, message)
            return message

    def _remove(self, address: Address, message: Message) -> None:
        inbox = self._inboxes[address]
        # By identity: messages hold arrays, whose == is not a truth value.
        del inbox[next(index for index, other in enumerate(inbox) if other is message)]

    def _find(self, address: Address, source: int, tag: int) -> Message | None:
        fits = (m for m in self._inboxes[address] if source in (ANY, m.source) and tag in (ANY, m.tag))
        return next(fits, None)

    def _check(self) -> None:
        if self.failure is not None:
            rank, error = self.failure
            raise CommunicationError(f"the world has ended: rank {rank} raised {type(error).__name__}: {error}")
