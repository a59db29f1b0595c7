"""Reads the artifacts that a session needs from the memory of the ranks that made them, or from the sealed files.

Both ways give the same bits in the same blocks, so that the training does not depend on the choice. The facts of the
session's first layer record the way.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.in_memory_file import InMemoryFile
from hpcmtl.data.values import summary_of
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

    RowsWanted = Callable[[NDArray[np.uint8]], list[tuple[int, int]]]
    """Function from the split of the samples to the spans of the rows that this rank will read."""


@dataclass
class _Volume:
    """Bytes that were read from memory and from files, and the seconds that the reading took."""

    memory: int = 0
    files: int = 0
    seconds: float = 0.0


class Inputs:
    """Inputs of one session on one rank; methods are collective over the group unless they are for one rank alone."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._volume: _Volume | None = None

    def facts(self) -> dict[str, float]:
        """Returns the volume of the inputs since the last call, for the ledger; empty if there were none."""
        volume, self._volume = self._volume, None
        if volume is None:
            return {}
        return {"from_memory": volume.memory, "from_files": volume.files, "transfer_seconds": volume.seconds}

    def parameters(self, producer: str) -> Arrays:
        """Returns the parameters of another task on every rank, under names with the prefix `PARAMETERS`.

        Raises:
            DamagedArtifactError: they are not in memory, and the file cannot be read; on all ranks.
        """
        with self._counted() as volume:
            arrays = self._parameters_in_memory(producer)
            if arrays is not None:
                volume.memory += sum(array.nbytes for array in arrays.values())
                return arrays
            arrays, _ = share(self._context.group, lambda: self._read_parameters(producer))
            volume.files += sum(array.nbytes for array in arrays.values())
            return arrays

    def sources(self, references: Mapping[str, str], wanted: RowsWanted) -> dict[str, Source]:
        """Returns the sources of references by key; rows of other tasks are fetched into memory where possible.

        Args:
            references: key -> reference.
            wanted: function that selects the rows which this rank will read; other rows are not fetched.

        Raises:
            DamagedArtifactError: rows are not in memory, and the file is damaged; on all ranks.
        """
        found = {key: self._context.source(key, reference) for key, reference in references.items()}
        origins = dict.fromkeys(reference.partition("/")[0] for reference in references.values())
        for producer in [each for each in origins if each not in self._context.files]:  # in the same order on all ranks
            with self._counted() as volume:
                keys = [key for key, reference in references.items() if reference.partition("/")[0] == producer]
                names = sorted({found[key].dataset for key in keys})
                in_memory = self._rows_in_memory(producer, names, wanted)
                if in_memory is None:
                    on_root(self._context.group, partial(self._check, producer, names))
                found.update({key: replace(found[key], in_memory=in_memory) for key in keys})
                size = sum(each.bytes for name, each in found[keys[0]].described().datasets.items() if name in names)
                if in_memory is None:
                    volume.files += size
                else:
                    volume.memory += size
        return found

    def parameters_alone(self, producer: str) -> Arrays:
        """Returns the parameters as `parameters` does, for this rank alone."""
        with self._counted() as volume:
            found = self._alone(producer, PACKED)
            if found is None:
                arrays, _ = self._read_parameters(producer)
                volume.files += sum(array.nbytes for array in arrays.values())
            else:
                arrays = PackedArrays(found[0].packed, found[1]).arrays()
                volume.memory += found[1].nbytes
            return arrays

    def source_alone(self, reference: str) -> Source:
        """Returns the source of all rows of another task's array, in memory where possible; for this rank alone."""
        source = self._context.source("", reference)
        with self._counted() as volume:
            found = self._alone(reference.partition("/")[0], source.dataset)
            if found is None:
                self._check(reference.partition("/")[0], [source.dataset])
                volume.files += source.described().datasets[source.dataset].bytes
                return source
            volume.memory += found[1].nbytes
            return replace(
                source, in_memory=InMemoryFile(source.path, {source.dataset: found[1]}, np.empty(0, np.uint8))
            )

    def _alone(self, producer: str, name: str) -> tuple[ArtifactIndex, NDArray[Any]] | None:
        """Returns the index of an artifact and a whole array of it; None if they are not in memory."""
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
        """Reads all values of arrays once, on one rank; damage that only one rank met would end the run."""
        with artifact_of(producer, artifact_file(self._context.directory, producer)) as path:
            for name in names:
                summary_of(path, name)

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
        """Returns the index of an artifact, the same on all ranks of the group; None if it is not in memory."""
        owner, peer_transfer = self._context.owners.get(producer), self._context.peer_transfer
        if owner is None or peer_transfer is None or not peer_transfer.enabled:
            return None
        return on_root(self._context.group, lambda: peer_transfer.index(producer, owner))

    def _fetch(self, index: ArtifactIndex, wanted: Spans) -> Arrays | None:
        """Returns rows on every rank of the group, or None on all of them; then the group reads the file."""
        assert self._context.peer_transfer is not None, "an index was received"
        found = self._context.peer_transfer.fetch(index, wanted)
        return found if all(self._context.group.allgather(found is not None)) else None

    @contextmanager
    def _counted(self) -> Iterator[_Volume]:
        self._volume = volume = self._volume or _Volume()
        started = time.perf_counter()
        yield volume
        volume.seconds += time.perf_counter() - started


def every_row(split: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Returns one span of all rows: a training reads its samples in another order in each epoch."""
    return [(0, len(split))]
