"""Samples in stored order, each once over the group, for extraction, prediction and evaluation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hpcmtl.data.prefetch import Prefetched, items_ahead
from hpcmtl.data.shard import shard
from hpcmtl.data.sources import Source, check_sources, open_sources, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from hpcmtl.arrays import Arrays, Ints

    NumberedRows = tuple[Ints, Arrays]

_ALL = slice(None)


def sequential_batches(
    sources: Sequence[Source],
    splits: Sequence[str],
    batch_size: int,
    group_rank: int,
    group_size: int,
    *,
    piece: slice = _ALL,
) -> Prefetched[NumberedRows]:
    """Reads the contiguous share of one rank in all samples of some splits.

    Args:
        sources: datasets with one row per sample.
        splits: one or more of ``train``, ``val`` and ``test``.
        batch_size: samples of this rank per batch; the last batch may be smaller.
        group_rank: rank in the group.
        group_size: number of ranks in the group; the shares of ranks 0, 1, ... are consecutive.
        piece: part of the samples to share out; all by default.

    Returns:
        Iterator, to be used in a ``with`` statement, of sample numbers (n,) and rows (n, ...) by key; it is empty for a
            rank without samples.

    Raises:
        InputError: files, datasets or splits are bad; the message names them.
    """
    row_bytes = sum(each.sample_bytes for each in check_sources(sources))
    mine = shard(selected(sources, splits)[piece], group_rank, group_size)
    return Prefetched(partial(_produce, sources, mine, batch_size), items_ahead(batch_size * row_bytes))


def _produce(
    sources: Sequence[Source], mine: Ints, batch_size: int, check_open: Callable[[], None]
) -> Generator[NumberedRows, None, None]:
    with open_sources(sources) as readers:
        for start in range(0, len(mine), batch_size):
            numbers = mine[start : start + batch_size]
            rows = {key: reader.rows(numbers, check_open) for key, reader in readers.items()}
            yield numbers, {source.key: source.changed(rows[source.key], numbers, numbers) for source in sources}
