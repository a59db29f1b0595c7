"""What a session takes from other tasks: from the memory of the ranks that made it, or else from the sealed file.

Which of the two makes no difference to what is trained: the same bits, in the same blocks. How it came is told in the
facts of the session's first layer.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.hdf5 import check_finite
from hpcmtl.data.in_memory_file import InMemoryFile
from hpcmtl.exchange.packed_arrays import PackedArrays
from hpcmtl.exchange.store import PARAMETERS, artifact_of, read_sealed
from hpcmtl.exchange.transfer import share
from hpcmtl.training.artifacts.publish import PACKED, SPLIT
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.data.sources import Source
    from hpcmtl.exchange.peer_transfer import ArtifactIndex, Spans
    from hpcmtl.training.session import SessionContext

    # (split of the samples) -> spans of the rows that this rank will read
    RowsWanted = Callable[[NDArray[np.uint8]], list[tuple[int, int]]]


@dataclass
class _Came:
    """Bytes that came each way, and the seconds that this took."""

    memory: int = 0
    files: int = 0
    seconds: float = 0.0


class Inputs:
    """Of one session on one rank. All calls are collective over the group, but where they say otherwise."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._came: _Came | None = None

    def facts(self) -> dict[str, float]:
        """What the ledger should know of what came since the last call; empty if nothing did."""
        came, self._came = self._came, None
        if came is None:
            return {}
        return {"from_memory": came.memory, "from_files": came.files, "handover_seconds": came.seconds}

    def parameters(self, producer: str) -> Arrays:
        """The parameters of another task, by names that begin with ``parameters/``, on every rank.

        Raises:
            DamagedArtifactError: they are not in memory, and the file cannot be read; on all ranks.
        """
        with self._counted() as came:
            arrays = self._parameters_in_memory(producer)
            if arrays is not None:
                came.memory += sum(array.nbytes for array in arrays.values())
                return arrays
            arrays, _ = share(self._context.group, lambda: self._read_parameters(producer))
            came.files += sum(array.nbytes for array in arrays.values())
            return arrays

    def sources(self, references: Mapping[str, str], wanted: RowsWanted) -> dict[str, Source]:
        """Where the rows of references lie, by key: in memory if they come from a task and can be had.

        Args:
            references: key -> reference.
            wanted: says which rows this rank will read, and no others.

        Raises:
            DamagedArtifactError: rows are not in memory, and the file is not as it was sealed; on all ranks.
        """
        found = {key: self._context.source(key, reference) for key, reference in references.items()}
        origins = dict.fromkeys(reference.partition("/")[0] for reference in references.values())
        for producer in [origin for origin in origins if origin not in self._context.files]:  # all ranks in one order
            with self._counted() as came:
                keys = [key for key, reference in references.items() if reference.partition("/")[0] == producer]
                names = sorted({found[key].dataset for key in keys})
                in_memory = self._rows_in_memory(producer, names, wanted)
                if in_memory is None:
                    on_root(self._context.group, partial(self._check, producer, names))
                found.update({key: replace(found[key], in_memory=in_memory) for key in keys})
                size = sum(each.bytes for name, each in found[keys[0]].described().datasets.items() if name in names)
                if in_memory is None:
                    came.files += size
                else:
                    came.memory += size
        return found

    def parameters_alone(self, producer: str) -> Arrays:
        """As `parameters`, for this rank alone."""
        with self._counted() as came:
            found = self._alone(producer, PACKED)
            if found is None:
                arrays, _ = self._read_parameters(producer)
                came.files += sum(array.nbytes for array in arrays.values())
            else:
                arrays = PackedArrays(found[0].packed, found[1]).arrays()
                came.memory += found[1].nbytes
            return arrays

    def source_alone(self, reference: str) -> Source:
        """The source of all rows of another task's array, in memory if they can be had; for this rank alone."""
        source = self._context.source("", reference)
        with self._counted() as came:
            found = self._alone(reference.partition("/")[0], source.dataset)
            if found is None:
                self._check(reference.partition("/")[0], [source.dataset])
                came.files += source.described().datasets[source.dataset].bytes
                return source
            came.memory += found[1].nbytes
            return replace(
                source, in_memory=InMemoryFile(source.path, {source.dataset: found[1]}, np.empty(0, np.uint8))
            )

    def _alone(self, producer: str, name: str) -> tuple[ArtifactIndex, NDArray[Any]] | None:
        """The catalogue of an artifact and a whole array of it."""
        owner, peer_transfer = self._context.owners.get(producer), self._context.peer_transfer
        if owner is None or peer_transfer is None or not peer_transfer.enabled:
            return None
        index = peer_transfer.index(producer, owner)
        if index is None:
            return None
        found = peer_transfer.fetch(index, {name: [(0, index.arrays[name].shape[0])]})
        return None if found is None else (index, found[name])

    def _read_parameters(self, producer: str) -> tuple[Arrays, Any]:
        with artifact_of(producer, artifact_file(self._context.directory, producer)) as path:
            return read_sealed(path, PARAMETERS)

    def _check(self, producer: str, names: Sequence[str]) -> None:
        """Read all values of arrays in a file once, on one rank: a rank that met damage alone would end the run."""
        with artifact_of(producer, artifact_file(self._context.directory, producer)) as path:
            check_finite(path, names)

    def _parameters_in_memory(self, producer: str) -> Arrays | None:
        index = self._index(producer)
        if index is None:
            return None
        found = self._fetch(index, {PACKED: [(0, index.arrays[PACKED].shape[0])]})
        return None if found is None else PackedArrays(index.packed, found[PACKED]).arrays()

    def _rows_in_memory(self, producer: str, names: Sequence[str], wanted: RowsWanted) -> InMemoryFile | None:
        index = self._index(producer)
        if index is None:
            return None
        split = self._fetch(index, {SPLIT: [(0, index.arrays[SPLIT].shape[0])]})
        if split is None:
            return None
        arrays = self._fetch(index, dict.fromkeys(names, wanted(split[SPLIT])))
        path = artifact_file(self._context.directory, producer)
        return None if arrays is None else InMemoryFile(path, arrays, split[SPLIT])

    def _index(self, producer: str) -> ArtifactIndex | None:
        """The catalogue of an artifact, the same on all ranks of the group."""
        owner, peer_transfer = self._context.owners.get(producer), self._context.peer_transfer
        if owner is None or peer_transfer is None or not peer_transfer.enabled:
            return None
        return on_root(self._context.group, lambda: peer_transfer.index(producer, owner))

    def _fetch(self, index: ArtifactIndex, wanted: Spans) -> Arrays | None:
        """Rows for every rank of the group, or for none: who reads the file in the end is for all to know."""
        assert self._context.peer_transfer is not None, "there is a catalogue"
        found = self._context.peer_transfer.fetch(index, wanted)
        return found if all(self._context.group.allgather(found is not None)) else None

    @contextmanager
    def _counted(self) -> Iterator[_Came]:
        self._came = came = self._came or _Came()
        started = time.perf_counter()
        yield came
        came.seconds += time.perf_counter() - started


def every_row(split: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """What a training wants: its samples come in another order every epoch."""
    return [(0, len(split))]
