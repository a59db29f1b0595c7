"""Hands artifacts from memory to memory: ranks that made rows answer ranks that need them, while they train.

A rank that needs rows asks in its main thread. It asks one rank for the catalogue of the artifact, works out who has
what it wants (`plan_moves`), and asks each of these once. Who is asked answers in its control thread, which takes all
messages of a job anyway: the question comes as one of them, the answer goes as buffers on a communicator of its own.
Whoever has dropped its rows says so, and the file serves.
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

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.exchange.artifact_cache import ArtifactCache
    from hpcmtl.exchange.packed_arrays import PackedLayout
    from hpcmtl.exchange.redistribute import ArrayRows, Move

Spans = dict[str, list[tuple[int, int]]]

_ANSWER, _ROWS = 1, 2


@dataclass(frozen=True)
class ArrayLocation:
    """An array of an artifact: dtype, shape, and which rank of the world has which rows of which version."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ArtifactIndex:
    """What an artifact in memory holds; `packed` says what lies in the bytes of its array, if it is parameters."""

    task: str
    arrays: Mapping[str, ArrayLocation]
    packed: PackedLayout = ()


@dataclass(frozen=True)
class WantIndex:
    """The question for the catalogue of a task's artifact."""

    task: str


class RowRange(NamedTuple):
    """Rows start <= i < stop of an array, and their version: the number of the start of a layer that made them."""

    name: str
    start: int
    stop: int
    version: int


@dataclass(frozen=True)
class WantRows:
    """The question for rows of arrays."""

    task: str
    parts: tuple[RowRange, ...]


Question = WantIndex | WantRows


class PeerTransfer:
    """One a rank, shared by its main thread, which keeps and fetches, and its control thread, which serves."""

    def __init__(self, control: Communicator, answers: Communicator, cache: ArtifactCache) -> None:
        """Get ready.

        Args:
            control: the communicator of the control threads; questions are sent on it, and nothing is received.
            answers: a duplicate of the world for answers alone.
            cache: what this rank keeps.
        """
        self._control, self._answers = control, answers
        self._cache = cache
        self._indexes: dict[str, ArtifactIndex] = {}
        self._one_at_a_time = threading.Lock()  # users' code may ask from threads of its own
        self._given_up = False

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
        """Whether anything is kept in memory in this job."""
        return self._cache.limit > 0

    def give_up(self) -> None:
        """Have files serve from now on: ranks were lost, and the others are numbered anew. Called by any thread."""
        self._given_up = True
        self._indexes.clear()

    def keep(self, task: str, version: int, pieces: Mapping[str, ArrayRows]) -> None:
        """Keep what this rank made of an artifact, as far as there is room; nobody may change it afterwards."""
        self._cache.put(task, version, pieces)

    def publish(self, index: ArtifactIndex) -> None:
        """Answer for an artifact from now on: who needs it asks this rank, by the word of the dispatcher."""
        if not self._given_up:
            self._indexes[index.task] = index

    def serve(self, source: int, question: Question) -> list[SendHandle]:
        """Answer a question of another rank, without waiting; called by the control thread."""
        if isinstance(question, WantIndex):
            return [self._answers.isend(self._indexes.get(question.task), source, _ANSWER)]
        found = [self._take(question.task, part) for part in question.parts]
        if any(rows is None for rows in found):
            return [self._answers.isend(False, source, _ANSWER)]
        chunks = [chunk for rows in found if rows is not None for chunk in in_chunks(rows)]
        sending: list[SendHandle] = [self._answers.isend(True, source, _ANSWER)]
        return sending + [self._answers.Isend(chunk, source, _ROWS) for chunk in chunks]

    def index(self, task: str, owner: int) -> ArtifactIndex | None:
        """What the rank `owner` says that a task's artifact holds; None if it is not in memory."""
        if self._given_up or owner == self.rank:
            return self._indexes.get(task)
        found: ArtifactIndex | None = None
        with self._one_at_a_time, suppress(RankLostError):
            self._control.send(WantIndex(task), owner)
            found = self._answers.recv(owner, _ANSWER)
        return found

    def fetch(self, index: ArtifactIndex, wanted: Spans) -> dict[str, np.ndarray[Any, Any]] | None:
        """Get rows of arrays of an artifact, each from a rank that has it.

        Args:
            index: of the artifact.
            wanted: name of an array -> spans of its rows.

        Returns:
            The arrays in full length, of which the wanted rows alone are defined; None if they are larger than what a
            rank may keep, or one of the ranks has dropped its part: then the file has to serve.
        """
        arrays = {name: index.arrays[name] for name in wanted}
        try:
            moves = {name: self._moves(index, listed, wanted[name]) for name, listed in arrays.items()}
        except ValueError:  # this rank has dropped some of its rows, and nobody else made them
            return None
        if sum(_bytes(arrays[name], moves[name]) for name in wanted) > self._cache.limit:
            return None
        found = {name: np.empty(listed.shape, np.dtype(listed.dtype)) for name, listed in arrays.items()}
        parts: dict[int, list[RowRange]] = {}
        for name in wanted:
            for move in moves[name]:
                parts.setdefault(move.source, []).append(RowRange(name, move.start, move.stop, move.version))
        complete = False
        with self._one_at_a_time, suppress(RankLostError):
            complete = self._ask(index, parts, found)
        return found if complete else None

    def _moves(self, index: ArtifactIndex, listed: ArrayLocation, spans: Sequence[tuple[int, int]]) -> tuple[Move, ...]:
        own = [
            Block(self.rank, max(start, block.start), min(stop, block.stop), version)
            for start, stop, version in self._cache.spans(index.task, listed.name)
            for block in listed.blocks
            if version == block.version  # else what this rank has was made before
        ]
        others = [block for block in listed.blocks if block.rank != self.rank or not own]
        return plan_moves([*own, *others], [Block(self.rank, *span) for span in spans])

    def _ask(self, index: ArtifactIndex, parts: Mapping[int, list[RowRange]], into: Mapping[str, Any]) -> bool:
        """Ask every rank for its parts, then take the answers; say whether all had what they were asked for."""
        others = [source for source in parts if source != self.rank]
        for source in others:
            self._control.send(WantRows(index.task, tuple(parts[source])), source)
        granted = True
        for part in parts.get(self.rank, []):
            rows = self._take(index.task, part)
            granted = granted and rows is not None
            if rows is not None:
                into[part.name][part.start : part.stop] = rows
        receiving = []
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
