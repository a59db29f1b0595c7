"""Reduction of values of blocks of rows over a group, with the same bits on any number of ranks.

Blocks have fixed bounds. A binary tree that depends on the number of blocks alone combines their values: neighbours
first, then pairs of neighbours. Each rank combines the parts of the tree that lie in its own blocks, and the first rank
the rest. So a rank holds few values at a time, and a sum of floats does not depend on the ranks.
"""

from __future__ import annotations

import logging
import pickle
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.shard import shard
from hpcmtl.errors import HpcmtlError, InputError, Problem, TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.communicators.base import Communicator

T = TypeVar("T")
_log = logging.getLogger(__name__)

BLOCK = 4096
"""Rows of a block, unless another number is given."""


class SliceableRows(Protocol):
    """Rows that can be read by slices: an array, a memory map, a dataset of HDF5."""

    def __len__(self) -> int:
        """Returns the number of rows."""
        ...

    def __getitem__(self, span: slice, /) -> NDArray[Any]:
        """Returns the rows of a span as an array."""
        ...


@dataclass(frozen=True)
class Partial(Generic[T]):
    """The value of some neighbouring blocks: a node of the tree.

    Attributes:
        level: the node stands for 2 ** level blocks.
        index: these begin at block index * 2 ** level.
        first: number of the first row.
        last: number of the last row.
        value: value of the blocks.
    """

    level: int
    index: int
    first: int
    last: int
    value: T


def map_reduce(
    rows: SliceableRows,
    mapper: Callable[[NDArray[Any], Ints], T],
    reducer: Callable[[T, T], T],
    group: Communicator,
    *,
    numbers: Ints | None = None,
    block: int = BLOCK,
) -> T:
    """Maps blocks of rows to values in parallel, and reduces the values to one (collective over `group`).

    The value has the same bits on any number of ranks, if the functions depend on their arguments alone.

    Args:
        rows: the rows; each rank reads its own share.
        mapper: (rows (n, ...), their numbers (n,)) -> value of a block.
        reducer: (value, value of the rows after it) -> value of both. It must be associative (sums of floats are, up
            to rounding), and may change and return its first argument.
        group: communicator of the ranks that share the work; call this on all of them.
        numbers: (n,) ascending numbers of the rows to use; all by default.
        block: rows i with the same i // block are one block.

    Returns:
        The value, on every rank.

    Raises:
        InputError: there is no row, numbers do not ascend, or rows cannot be read.
        TaskFailedError: a function failed; the message has the numbers of the rows.
    """
    chosen = np.arange(len(rows)) if numbers is None else numbers
    if not len(chosen):
        raise InputError([Problem("map_reduce", "there is no row, and so no value; choose other rows")])
    if chosen.dtype.kind not in "iu" or chosen[0] < 0 or (np.diff(chosen) <= 0).any():
        text = "the numbers of rows do not ascend, each once, from 0; give for example np.flatnonzero(mask)"
        raise InputError([Problem("map_reduce", text)])
    sent = _sent(lambda: merged(_mapped(rows, mapper, blocks_of_rank(chosen, block, group)), reducer))
    gathered = group.gather(sent)
    return on_root(group, lambda: _reduced(gathered or [], reducer))


def blocks_of_rank(numbers: Ints, block: int, group: Communicator) -> list[tuple[int, Ints]]:
    """Returns the blocks of this rank: the place of each among all blocks that have rows, and the numbers of its rows.

    Args:
        numbers: (n,) ascending numbers of rows.
        block: rows i with the same i // block are one block.
        group: ranks that share the blocks; ranks 0, 1, ... have consecutive ones.
    """
    cuts = np.flatnonzero(np.diff(numbers // block)) + 1
    starts, stops = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(numbers)]])
    mine = shard(np.arange(len(starts)), group.rank, group.size)
    return [(int(place), numbers[starts[place] : stops[place]]) for place in mine]


def merged(partials: Iterable[Partial[T]], reducer: Callable[[T, T], T]) -> list[Partial[T]]:
    """Returns the fewest nodes of the tree that stand for the same blocks.

    Args:
        partials: values of neighbouring blocks, in their order.
        reducer: function that combines two values.
    """
    nodes: list[Partial[T]] = []
    for partial in partials:
        node = partial
        while node.index % 2 and nodes and (nodes[-1].level, nodes[-1].index) == (node.level, node.index - 1):
            node = _joined(nodes.pop(), node, reducer)
        nodes.append(node)
    return nodes


def _joined(left: Partial[T], right: Partial[T], reducer: Callable[[T, T], T]) -> Partial[T]:
    with _naming_rows("reduce", left.first, right.last):
        value = reducer(left.value, right.value)
    return Partial(left.level + 1, left.index // 2, left.first, right.last, value)


def _mapped(
    rows: SliceableRows, mapper: Callable[[NDArray[Any], Ints], T], blocks: Iterable[tuple[int, Ints]]
) -> Iterator[Partial[T]]:
    for place, numbers in blocks:
        first, last = int(numbers[0]), int(numbers[-1])
        read = rows[first : last + 1][numbers - first]
        with _naming_rows("map", first, last):
            value = mapper(read, numbers)
        yield Partial(0, place, first, last, value)


def _sent(work: Callable[[], list[Partial[T]]]) -> bytes:
    """Returns the values of this rank, or the error in their place, as bytes that reach the first rank in any case."""
    try:
        nodes = work()
        with _naming_rows("pickle of the value", nodes[0].first if nodes else 0, nodes[-1].last if nodes else 0):
            return pickle.dumps(nodes, protocol=5)
    except HpcmtlError as error:
        return pickle.dumps(error)
    except Exception as error:  # noqa: BLE001 - reading rows may raise anything, and the other ranks wait
        _log.exception("rows cannot be read")
        return pickle.dumps(TaskFailedError(f"rows cannot be read ({type(error).__name__}: {error})"))


def _reduced(gathered: Sequence[bytes], reducer: Callable[[T, T], T]) -> T:
    """Returns the value of all blocks from the values of the ranks, or raises the error of the first rows."""
    of_ranks = [pickle.loads(each) for each in gathered]  # noqa: S301 - our own bytes
    for found in of_ranks:
        if isinstance(found, HpcmtlError):
            raise found
    *before, node = merged(chain.from_iterable(of_ranks), reducer)
    for left in reversed(before):
        node = _joined(left, node, reducer)
    value: T = node.value
    return value


@contextmanager
def _naming_rows(step: str, first: int, last: int) -> Iterator[None]:
    """Turns any error of a user's function into one that names the step and the rows.

    Raises:
        TaskFailedError: the block raised; its traceback is in the log.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        _log.exception("%s failed for rows %d to %d", step, first, last)
        text = f"{step} failed for rows {first} to {last} ({type(error).__name__}: {error})"
        raise TaskFailedError(text) from error
