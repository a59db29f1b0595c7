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

    from hpcmtl.exchange.parcel import Parcel
    from hpcmtl.results.summary import TaskStatus

State = Literal["running", "paused"]


class Channel(NamedTuple):
    """The versions of one task's parameters at one pace: one every so many steps, or one a layer."""

    task: str
    every: int | Literal["layer"]


@dataclass(frozen=True)
class Publish:
    """A version; the parcel comes with it."""

    channel: Channel
    version: int


@dataclass(frozen=True)
class Ask:
    """Which version is there?

    Attributes:
        channel: of the producer.
        known: the version that the asker has; -1 for none.
        least: the version that the answer has to wait for.
    """

    channel: Channel
    known: int
    least: int


@dataclass(frozen=True)
class Contribute:
    """A member of a merge is at a boundary; its parcel comes with it."""

    merge: str
    task: str


@dataclass(frozen=True)
class Newest:
    """The answer to `Ask`.

    Attributes:
        version: the newest, never below what the asker knows; its parcel comes with the answer if the asker did not
            know it, and the producer has not completed: then its artifact is the last version. -1 if there is none.
        state: of the producer: `running`, `paused` (it waits to go on), or how it ended.
    """

    version: int
    state: State | TaskStatus


@dataclass(frozen=True)
class Merged:
    """The end of a round: what the members have together comes with it, unless one came alone or they do not fit.

    Attributes:
        members: the tasks that came, in order.
        problem: why they could not be merged.
    """

    members: tuple[str, ...]
    problem: str = ""


Request = Publish | Ask | Contribute
Reply = tuple[int, Newest | Merged, "Parcel | None"]  # for which rank


@dataclass
class Office:
    """What has been published and who waits for what.

    Attributes:
        members: merge -> its tasks.
        combine: task -> parcel, to what they have together; raises ValueError where they do not fit.
    """

    members: Mapping[str, tuple[str, ...]]
    combine: Callable[[Mapping[str, Parcel]], Parcel]
    _newest: dict[Channel, tuple[int, Parcel | None]] = field(default_factory=dict)
    _running: frozenset[str] = frozenset()
    _ended: Mapping[str, TaskStatus] = field(default_factory=dict)
    _asking: list[tuple[int, Ask]] = field(default_factory=list)
    _came: dict[str, dict[str, tuple[int, Parcel]]] = field(default_factory=dict)

    def take(self, rank: int, request: Request, parcel: Parcel | None) -> list[Reply]:
        """Take in what a rank says."""
        if isinstance(request, Publish):
            if request.version > self._newest.get(request.channel, (-1, None))[0]:
                self._newest[request.channel] = request.version, parcel
        elif isinstance(request, Ask):
            self._asking.append((rank, request))
        else:
            assert parcel is not None, "a contribution has arrays"
            self._came.setdefault(request.merge, {})[request.task] = rank, parcel
        return self._replies()

    def announce(self, running: Iterable[str], ended: Mapping[str, TaskStatus]) -> list[Reply]:
        """Take in which tasks run now, and which have ended how."""
        self._running, self._ended = frozenset(running), ended
        for channel, (version, parcel) in [*self._newest.items()]:
            if ended.get(channel.task) == "complete":  # who asks from now on reads the artifact
                self._newest[channel] = version, None
            elif parcel is None:  # the artifact was damaged and is made again: nobody has that version
                del self._newest[channel]
        return self._replies()

    def _replies(self) -> list[Reply]:
        replies = [reply for rank, ask in self._asking if (reply := self._answer(rank, ask))]
        answered = {reply[0] for reply in replies}
        self._asking = [(rank, ask) for rank, ask in self._asking if rank not in answered]
        for merge in [merge for merge in self._came if self._complete(merge)]:
            replies += self._merge(merge)
        return replies

    def _answer(self, rank: int, ask: Ask) -> Reply | None:
        newest, parcel = self._newest.get(ask.channel, (-1, None))
        version, task = max(newest, ask.known), ask.channel.task
        state: State | TaskStatus = "running" if task in self._running else self._ended.get(task, "paused")
        if state == "running" and version < ask.least:
            return None
        return rank, Newest(version, state), parcel if version > ask.known else None

    def _complete(self, merge: str) -> bool:
        """Whether every member that runs has come; those that came do run."""
        return all(task in self._came[merge] for task in self.members[merge] if task in self._running)

    def _merge(self, merge: str) -> list[Reply]:
        came = self._came.pop(merge)
        names = tuple(task for task in self.members[merge] if task in came)
        parcel, problem = None, ""
        if len(names) > 1:
            try:
                parcel = self.combine({name: came[name][1] for name in names})
            except ValueError as error:
                problem = str(error)
        return [(came[name][0], Merged(names, problem), parcel) for name in names]
