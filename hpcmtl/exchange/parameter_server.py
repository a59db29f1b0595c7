"""Implements the parameter server as a state machine: the newest version of each task's parameters, and averages.

Requests and changes of the running tasks come in, replies go out; it sends nothing itself. It never waits for a task
that does not run. A pull is answered when the version is there, or when its producer has paused or ended. An average is
complete when every running member has pushed. The version number of a channel never decreases for a client.
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
    """The versions of one task's parameters at one interval.

    Attributes:
        task: name of the producer.
        every: number of steps between versions, or ``layer`` for one version a layer.
    """

    task: str
    every: int | Literal["layer"]


@dataclass(frozen=True)
class PushVersion:
    """Pushes a version of the parameters; the packed arrays come with the message."""

    channel: VersionChannel
    version: int


@dataclass(frozen=True)
class Pull:
    """Requests the newest version of a channel.

    Attributes:
        channel: channel of the producer.
        known: version that the client has; -1 for none.
        least: lowest version that may be sent while the producer runs; the reply waits for it.
    """

    channel: VersionChannel
    known: int
    least: int


@dataclass(frozen=True)
class PushForAverage:
    """Pushes the parameters of one member of a merge for an average; the packed arrays come with the message."""

    merge: str
    task: str


@dataclass(frozen=True)
class PullReply:
    """Answers a `Pull`.

    Attributes:
        version: newest version, never lower than the one that the client has; -1 if there is none. The packed arrays
            come with the reply if the version is new to the client and the producer has not completed. A completed
            producer's last version is its artifact.
        state: state of the producer: `running`, `paused`, or its final status.
    """

    version: int
    state: ProducerState | TaskStatus


@dataclass(frozen=True)
class AverageReply:
    """Answers a `PushForAverage` at the end of a round.

    The packed average comes with the reply, unless there was only one member or the parameters do not fit.

    Attributes:
        members: tasks that took part, in order.
        problem: reason for which the parameters could not be averaged; empty if there is none.
    """

    members: tuple[str, ...]
    problem: str = ""


ParameterRequest = PushVersion | Pull | PushForAverage
ParameterReply = tuple[int, PullReply | AverageReply, "PackedArrays | None"]
"""Rank that the reply is for, the reply, and the packed arrays that go with it."""


@dataclass
class ParameterServer:
    """Holds the pushed versions, the pulls that wait, and the rounds of averages that are not complete.

    Attributes:
        members: name of a merge -> its tasks.
        combine: function from packed arrays by task to their average; raises ValueError if they do not fit.
    """

    members: Mapping[str, tuple[str, ...]]
    combine: Callable[[Mapping[str, PackedArrays]], PackedArrays]
    _newest: dict[VersionChannel, tuple[int, PackedArrays | None]] = field(default_factory=dict)
    _running: frozenset[str] = frozenset()
    _ended: Mapping[str, TaskStatus] = field(default_factory=dict)
    _pulls: list[tuple[int, Pull]] = field(default_factory=list)
    _pushed: dict[str, dict[str, tuple[int, PackedArrays]]] = field(default_factory=dict)

    def handle(self, rank: int, request: ParameterRequest, packed: PackedArrays | None) -> list[ParameterReply]:
        """Handles a request of a rank; returns the replies that can be sent now, for any ranks."""
        if isinstance(request, PushVersion):
            if request.version > self._newest.get(request.channel, (-1, None))[0]:
                self._newest[request.channel] = request.version, packed
        elif isinstance(request, Pull):
            self._pulls.append((rank, request))
        else:
            assert packed is not None, "a push has arrays"
            self._pushed.setdefault(request.merge, {})[request.task] = rank, packed
        return self._replies()

    def announce(self, running: Iterable[str], ended: Mapping[str, TaskStatus]) -> list[ParameterReply]:
        """Handles a change of the running tasks and of the final states; returns the replies that can be sent now."""
        self._running, self._ended = frozenset(running), ended
        for channel, (version, packed) in [*self._newest.items()]:
            if ended.get(channel.task) == "complete":  # later pulls are answered by the artifact
                self._newest[channel] = version, None
            elif packed is None:  # the artifact was damaged and is made again: that version is gone
                del self._newest[channel]
        return self._replies()

    def _replies(self) -> list[ParameterReply]:
        replies = [reply for rank, pull in self._pulls if (reply := self._reply_to(rank, pull))]
        answered = {reply[0] for reply in replies}
        self._pulls = [(rank, pull) for rank, pull in self._pulls if rank not in answered]
        for merge in [merge for merge in self._pushed if self._is_complete(merge)]:
            replies += self._average(merge)
        return replies

    def _reply_to(self, rank: int, pull: Pull) -> ParameterReply | None:
        newest, packed = self._newest.get(pull.channel, (-1, None))
        version, task = max(newest, pull.known), pull.channel.task
        state: ProducerState | TaskStatus = "running" if task in self._running else self._ended.get(task, "paused")
        if state == "running" and version < pull.least:
            return None
        return rank, PullReply(version, state), packed if version > pull.known else None

    def _is_complete(self, merge: str) -> bool:
        """Returns true if every running member has pushed; a member that pushed is running."""
        return all(task in self._pushed[merge] for task in self.members[merge] if task in self._running)

    def _average(self, merge: str) -> list[ParameterReply]:
        pushed = self._pushed.pop(merge)
        names = tuple(task for task in self.members[merge] if task in pushed)
        packed, problem = None, ""
        if len(names) > 1:
            try:
                packed = self.combine({name: pushed[name][1] for name in names})
            except ValueError as error:
                problem = str(error)
        return [(pushed[name][0], AverageReply(names, problem), packed) for name in names]
