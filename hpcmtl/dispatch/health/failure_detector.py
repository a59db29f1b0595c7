"""Which ranks have not been heard of for too long. Pure: words and the clock come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS_BETWEEN_HEARTBEATS = 5.0
"""Seconds between the heartbeats of a rank, unless the user sets another number."""

PATIENCE = 6
"""Number of missed heartbeats after which a rank is suspected."""


@dataclass(frozen=True)
class Silence:
    """A rank that has become suspect, or one that is back.

    Attributes:
        rank: which.
        seconds: without a word.
        back: whether it has been heard of again.
    """

    rank: int
    seconds: float
    back: bool = False


class FailureDetector:
    """Keeps who was heard of when.

    A rank is suspect after `PATIENCE` beats without a word. Who slept himself blames nobody: if this process did not
    look at the clock for longer than a beat, that time counts for no one.
    """

    def __init__(self, ranks: Iterable[int], interval: float, now: float) -> None:
        """Begin.

        Args:
            ranks: who should be heard of.
            interval: seconds between beats.
            now: seconds; everybody counts as heard of now.
        """
        self._heard = dict.fromkeys(ranks, now)
        self._interval = interval
        self._suspect: set[int] = set()
        self._looked = now

    @property
    def patience(self) -> float:
        """Seconds of silence after which a rank is suspect."""
        return PATIENCE * self._interval

    @property
    def watched(self) -> frozenset[int]:
        """Who should be heard of."""
        return frozenset(self._heard)

    @property
    def suspects(self) -> frozenset[int]:
        """The ranks that are suspect now."""
        return frozenset(self._suspect)

    def age(self, rank: int, now: float) -> float:
        """Seconds since a rank was heard of."""
        return now - self._heard[rank]

    def heard(self, rank: int, now: float) -> Silence | None:
        """Note a word of a rank; say if it is back."""
        silence = Silence(rank, self.age(rank, now), back=True)
        self._heard[rank] = now
        if rank not in self._suspect:
            return None
        self._suspect.discard(rank)
        return silence

    def check(self, now: float) -> list[Silence]:
        """The ranks that have become suspect since the last look, each named once."""
        slept = now - self._looked
        self._looked = now
        if slept > self._interval:
            self._heard = {rank: heard + slept for rank, heard in self._heard.items()}
        late = [rank for rank in self._heard if self.age(rank, now) > self.patience and rank not in self._suspect]
        self._suspect.update(late)
        return [Silence(rank, self.age(rank, now)) for rank in late]
