"""Where tasks that run at the same time meet: the newest version of each task's parameters, and rounds of merging.

Pure, as the dispatcher is: requests and news of who runs come in, replies go out. It never waits for a task that does
not run: who asks for a version is answered when it is there, or when its producer has ended or paused; a round of
merging is over when every member that runs has come to it. Versions never go backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hpcmtl.exchange.packed_arrays import PackedArrays
    from hpcmtl.results.outcome.summary import TaskStatus

ProducerState = Literal["running", "paused"]


class VersionChannel(NamedTuple):
    """The versions of one task's parameters at one pace: one every so many steps, or one a layer."""

    task: str
    every: int | Literal["layer"]


@dataclass(frozen=True)
class PushVersion:
    """A version; the parcel comes with it."""

    channel: VersionChannel
    version: int


@dataclass(frozen=True)
class Pull:
    """Which version is there?

    Attributes:
        channel: of the producer.
        known: the version that the asker has; -1 for none.
        least: the version that the answer has to wait for.
    """

    channel: VersionChannel
    known: int
    least: int


@dataclass(frozen=True)
class PushForAverage:
    """A member of a merge is at a boundary; its parcel comes with it."""

    merge: str
    task: str


@dataclass(frozen=True)
class PullReply:
    """The answer to `Pull`.

    Attributes:
        version: the newest, never below what the asker knows; its parcel comes with the answer if the asker did not
            know it, and the producer has not completed: then its artifact is the last version. -1 if there is none.
        state: of the producer: `running`, `paused` (it waits to go on), or how it ended.
    """

    version: int
    state: ProducerState | TaskStatus


@dataclass(frozen=True)
class AverageReply:
    """The end of a round: what the members have together comes with it, unless one came alone or they do not fit.

    Attributes:
        members: the tasks that came, in order.
        problem: why they could not be merged.
    """

    members: tuple[str, ...]
    problem: str = ""


ParameterRequest = PushVersion | Pull | PushForAverage
ParameterReply = tuple[int, PullReply | AverageReply, "PackedArrays | None"]  # for which rank


@dataclass
class ParameterServer:
    """What has been published and who waits for what.

    Attributes:
        members: merge -> its tasks.
        combine: task -> parcel, to what they have together; raises ValueError where they do not fit.
    """

    members: Mapping[str, tuple[str, ...]]
    combine: Callable[[Mapping[str, PackedArrays]], PackedArrays]
    _newest: dict[VersionChannel, tuple[int, PackedArrays | None]] = field(default_factory=dict)
    _running: frozenset[str] = frozenset()
    _ended: Mapping[str, TaskStatus] = field(default_factory=dict)
    _asking: list[tuple[int, Pull]] = field(default_factory=list)
    _came: dict[str, dict[str, tuple[int, PackedArrays]]] = field(default_factory=dict)

    def take(self, rank: int, request: ParameterRequest, packed: PackedArrays | None) -> list[ParameterReply]:
        """Take in what a rank says."""
        if isinstance(request, PushVersion):
            if request.version > self._newest.get(request.channel, (-1, None))[0]:
                self._newest[request.channel] = request.version, packed
        elif isinstance(request, Pull):
            self._asking.append((rank, request))
        else:
            assert packed is not None, "a contribution has arrays"
            self._came.setdefault(request.merge, {})[request.task] = rank, packed
        return self._replies()

    def announce(self, running: Iterable[str], ended: Mapping[str, TaskStatus]) -> list[ParameterReply]:
        """Take in which tasks run now, and which have ended how."""
        self._running, self._ended = frozenset(running), ended
        for channel, (version, packed) in [*self._newest.items()]:
            if ended.get(channel.task) == "complete":  # who asks from now on reads the artifact
                self._newest[channel] = version, None
            elif packed is None:  # the artifact was damaged and is made again: nobody has that version
                del self._newest[channel]
        return self._replies()

    def _replies(self) -> list[ParameterReply]:
        replies = [reply for rank, ask in self._asking if (reply := self._answer(rank, ask))]
        answered = {reply[0] for reply in replies}
        self._asking = [(rank, ask) for rank, ask in self._asking if rank not in answered]
        for merge in [merge for merge in self._came if self._complete(merge)]:
            replies += self._merge(merge)
        return replies

    def _answer(self, rank: int, ask: Pull) -> ParameterReply | None:
        newest, packed = self._newest.get(ask.channel, (-1, None))
        version, task = max(newest, ask.known), ask.channel.task
        state: ProducerState | TaskStatus = "running" if task in self._running else self._ended.get(task, "paused")
        if state == "running" and version < ask.least:
            return None
        return rank, PullReply(version, state), packed if version > ask.known else None

    def _complete(self, merge: str) -> bool:
        """Whether every member that runs has come; those that came do run."""
        return all(task in self._came[merge] for task in self.members[merge] if task in self._running)

    def _merge(self, merge: str) -> list[ParameterReply]:
        came = self._came.pop(merge)
        names = tuple(task for task in self.members[merge] if task in came)
        packed, problem = None, ""
        if len(names) > 1:
            try:
                packed = self.combine({name: came[name][1] for name in names})
            except ValueError as error:
                problem = str(error)
        return [(came[name][0], AverageReply(names, problem), packed) for name in names]
