"""The failure detector: finds members whose heartbeats are missing. Pure: heartbeats and the clock come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS_BETWEEN_HEARTBEATS = 5.0
"""Seconds between the heartbeats of a rank, unless the user sets another number."""

PATIENCE = 6
"""Number of missed heartbeats after which a rank is suspected."""


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A member that has become suspected, or one that has recovered.

    Attributes:
        member: the member.
        seconds: seconds without a heartbeat.
        recovered: whether a heartbeat has come again.
    """

    member: int
    seconds: float
    recovered: bool = False


class FailureDetector:
    """Keeps the time of the last heartbeat of each member.

    A member is suspected after `PATIENCE` intervals without a heartbeat. Time during which this process did not run is
    not counted as silence: if it did not look at the clock for longer than an interval, that time counts for no member.
    """

    def __init__(self, members: Iterable[int], interval: float, now: float) -> None:
        """Starts at a moment at which every member counts as heard of.

        Args:
            members: the watched members.
            interval: seconds between heartbeats.
            now: seconds.
        """
        self._heard = dict.fromkeys(members, now)
        self._interval = interval
        self._suspects: set[int] = set()
        self._looked = now

    @property
    def patience(self) -> float:
        """Seconds of silence after which a member is suspected."""
        return PATIENCE * self._interval

    @property
    def watched(self) -> frozenset[int]:
        """The watched members."""
        return frozenset(self._heard)

    @property
    def suspects(self) -> frozenset[int]:
        """The members that are suspected now."""
        return frozenset(self._suspects)

    def age(self, member: int, now: float) -> float:
        """Returns the seconds since the last heartbeat of a member."""
        return now - self._heard[member]

    def heard(self, member: int, now: float) -> Silence | None:
        """Takes a heartbeat of a member; returns the silence that it ends if the member was suspected, else None."""
        silence = Silence(member=member, seconds=self.age(member, now), recovered=True)
        self._heard[member] = now
        if member not in self._suspects:
            return None
        self._suspects.discard(member)
        return silence

    def check(self, now: float) -> list[Silence]:
        """Returns the members that have become suspected since the last check, each once."""
        slept = now - self._looked
        self._looked = now
        if slept > self._interval:
            self._heard = {member: heard + slept for member, heard in self._heard.items()}
        late = [m for m in self._heard if self.age(m, now) > self.patience and m not in self._suspects]
        self._suspects.update(late)
        return [Silence(member=member, seconds=self.age(member, now)) for member in late]
