"""Transfers artifacts from memory to memory: ranks that made rows send them to ranks that need them, while they train.

A rank requests rows from its main thread. It first requests the index of the artifact from the owner, finds the ranks
that hold the rows (`plan_moves`), and sends one request to each of them. A rank replies from its control thread, which
receives all control messages of the job: requests are among them, replies go as buffers on a separate communicator. A
rank that has dropped its rows refuses, and the requester reads the sealed file.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.communicators.base import RankLostError
from hpcmtl.exchange.redistribute import Block, in_chunks, plan_moves

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.communicators.base import Communicator, ReceiveHandle, SendHandle
    from hpcmtl.exchange.artifact_cache import ArtifactCache
    from hpcmtl.exchange.packed_arrays import PackedLayout
    from hpcmtl.exchange.redistribute import ArrayRows, Move

Spans = dict[str, list[tuple[int, int]]]

_ANSWER, _ROWS = 1, 2


@dataclass(frozen=True)
class ArrayLocation:
    """Location of the rows of one array of an artifact.

    Attributes:
        name: name of the array.
        dtype: dtype of the array, as numpy writes it.
        shape: shape of the whole array.
        blocks: blocks of rows, each with the rank of the world that holds it and its version.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ArtifactIndex:
    """Index of an artifact in memory.

    Attributes:
        task: name of the task that made it.
        arrays: name -> location of the array.
        packed: layout of the packed array of a parameters artifact; empty for a data artifact.
    """

    task: str
    arrays: Mapping[str, ArrayLocation]
    packed: PackedLayout = ()


@dataclass(frozen=True)
class WantIndex:
    """Requests the index of a task's artifact."""

    task: str


class RowRange(NamedTuple):
    """Rows start <= i < stop of an array.

    Attributes:
        version: number of the layer start that made the rows.
    """

    name: str
    start: int
    stop: int
    version: int


@dataclass(frozen=True)
class WantRows:
    """Requests rows of arrays of a task's artifact."""

    task: str
    parts: tuple[RowRange, ...]


Question = WantIndex | WantRows
"""A request to another rank."""


class PeerTransfer:
    """Transfers artifacts for one rank: its main thread keeps and fetches rows, its control thread serves requests."""

    def __init__(self, control: Communicator, answers: Communicator, cache: ArtifactCache) -> None:
        """Makes the transfer of one rank.

        Args:
            control: communicator of the control threads, on which main threads send requests and receive nothing.
            answers: duplicate of the world for replies alone.
            cache: cache of this rank.
        """
        self._control, self._answers = control, answers
        self._cache = cache
        self._indexes: dict[str, ArtifactIndex] = {}
        self._one_at_a_time = threading.Lock()  # users' code may fetch from several threads
        self._given_up = False
        self._unfinished: list[Any] = []  # buffers and requests of failed transfers: MPI may still write into them

    @property
    def rank(self) -> int:
        """Number of this rank in the world."""
        return self._control.rank

    @property
    def size(self) -> int:
        """Number of ranks of the world."""
        return self._control.size

    @property
    def enabled(self) -> bool:
        """True if artifacts are kept in memory in this job."""
        return self._cache.limit > 0

    def give_up(self) -> None:
        """Has all later calls of `index` and `fetch` return None, so that files are read; for good, after a loss.

        Requests and replies may be lost with the ranks. A main thread that waits for a reply gets `RankLostError` from
        the revoked communicator, and reads the file. Any thread may call it.
        """
        self._given_up = True
        self._indexes.clear()
        self._answers.revoke()

    def keep(self, task: str, version: int, pieces: Mapping[str, ArrayRows]) -> None:
        """Keeps rows that this rank made, if there is room; the arrays must not change afterwards."""
        self._cache.put(task, version, pieces)

    def publish(self, index: ArtifactIndex) -> None:
        """Makes this rank the owner of an artifact: `RunLayer.owners` sends consumers here for its index."""
        if not self._given_up:
            self._indexes[index.task] = index

    def serve(self, source: int, question: Question) -> list[SendHandle]:
        """Replies to a request of another rank without waiting; the control thread calls it."""
        if isinstance(question, WantIndex):
            return [self._answers.isend(self._indexes.get(question.task), source, _ANSWER)]
        found = [self._take(question.task, part) for part in question.parts]
        if any(rows is None for rows in found):
            return [self._answers.isend(False, source, _ANSWER)]
        chunks = [chunk for rows in found if rows is not None for chunk in in_chunks(rows)]
        sending: list[SendHandle] = [self._answers.isend(True, source, _ANSWER)]
        return sending + [self._answers.Isend(chunk, source, _ROWS) for chunk in chunks]

    def index(self, task: str, owner: int) -> ArtifactIndex | None:
        """Returns the index of a task's artifact from the rank `owner`; None if it is not in memory."""
        if self._given_up or owner == self.rank:
            return self._indexes.get(task)
        found: ArtifactIndex | None = None
        with self._one_at_a_time, suppress(RankLostError):
            self._control.send(WantIndex(task), owner)
            found = self._answers.recv(owner, _ANSWER)
        return found

    def fetch(self, index: ArtifactIndex, wanted: Spans) -> dict[str, np.ndarray[Any, Any]] | None:
        """Fetches rows of arrays of an artifact, each from a rank that holds it.

        Args:
            index: index of the artifact.
            wanted: name of an array -> spans of its rows.

        Returns:
            Arrays of the full length, of which only the wanted rows are defined. None if the rows exceed the limit of
            the cache, or a rank has dropped its part: then the file must be read.
        """
        arrays = {name: index.arrays[name] for name in wanted}
        try:
            moves = {name: self._moves(index, listed, wanted[name]) for name, listed in arrays.items()}
        except ValueError:  # no rank has all of the wanted rows: this one has dropped some of its own
            return None
        if sum(_bytes(arrays[name], moves[name]) for name in wanted) > self._cache.limit:
            return None
        found = {name: np.empty(listed.shape, np.dtype(listed.dtype)) for name, listed in arrays.items()}
        parts: dict[int, list[RowRange]] = {}
        for name in wanted:
            for move in moves[name]:
                parts.setdefault(move.source, []).append(RowRange(name, move.start, move.stop, move.version))
        complete = False
        receiving: list[ReceiveHandle] = []
        with self._one_at_a_time:
            try:
                complete = self._ask(index, parts, found, receiving)
            except RankLostError:
                self._unfinished += [found, receiving]
        return found if complete else None

    def _moves(self, index: ArtifactIndex, listed: ArrayLocation, spans: Sequence[tuple[int, int]]) -> tuple[Move, ...]:
        own = [
            Block(self.rank, max(start, block.start), min(stop, block.stop), version)
            for start, stop, version in self._cache.spans(index.task, listed.name)
            for block in listed.blocks
            if version == block.version  # otherwise these rows are older
        ]
        # With nothing cached here, the blocks of this rank stay in the plan: its own refusal then leads to the file.
        others = [block for block in listed.blocks if block.rank != self.rank or not own]
        return plan_moves([*own, *others], [Block(self.rank, *span) for span in spans])

    def _ask(
        self,
        index: ArtifactIndex,
        parts: Mapping[int, list[RowRange]],
        into: Mapping[str, Any],
        receiving: list[ReceiveHandle],
    ) -> bool:
        """Requests the parts of every rank, then receives the replies; returns true if no rank refused.

        The requests of the receives are added to `receiving`, so that the caller can keep them after a failure.
        """
        others = [source for source in parts if source != self.rank]
        for source in others:
            self._control.send(WantRows(index.task, tuple(parts[source])), source)
        granted = True
        for part in parts.get(self.rank, []):
            rows = self._take(index.task, part)
            granted = granted and rows is not None
            if rows is not None:
                into[part.name][part.start : part.stop] = rows
        for source in others:
            if self._answers.recv(source, _ANSWER):
                targets = [into[part.name][part.start : part.stop] for part in parts[source]]
                chunks = [chunk for target in targets for chunk in in_chunks(target)]
                receiving += [self._answers.Irecv(chunk, source, _ROWS) for chunk in chunks]
            else:
                granted = False
        for handle in receiving:
            handle.wait()
        return granted

    def _take(self, task: str, part: RowRange) -> np.ndarray[Any, Any] | None:
        return self._cache.take(task, part.version, part.name, (part.start, part.stop))


def _bytes(listed: ArrayLocation, moves: Sequence[Move]) -> int:
    row = np.dtype(listed.dtype).itemsize * int(np.prod(listed.shape[1:], dtype=np.int64))
    return row * sum(move.stop - move.start for move in moves)
