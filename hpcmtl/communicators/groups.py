"""Which ranks are free, and which of them the next group gets. Pure: knows ranks as numbers only."""

from __future__ import annotations

from typing import NamedTuple


class Pool:
    """Free ranks of a world, handed out as contiguous blocks and merged again when they come back.

    Placement follows the buddy rule (Knuth, TAOCP vol. 1, 2.5): a block lies at a multiple of its width, rounded up
    to a power of two, counted from the start of its node, and is cut from the smallest aligned free block that has
    room, which keeps large ones whole. Unlike a strict buddy system, it takes any start rather than refuse a width
    that fits into a hole.
    """

    def __init__(self, size: int, ranks_per_node: int | None = None) -> None:
        """Start with all ranks free.

        Args:
            size: number of ranks, numbered from 0.
            ranks_per_node: ranks are placed node by node, so many on each; None if all share one node.
        """
        if size < 1 or (ranks_per_node is not None and ranks_per_node < 1):
            raise ValueError(f"a pool needs at least one rank and one per node, found {size} and {ranks_per_node}")
        self._size = size
        self._ranks_per_node = min(ranks_per_node or size, size)
        self._holes = [range(size)]

    @property
    def free(self) -> int:
        """Number of free ranks."""
        return sum(map(len, self._holes))

    @property
    def widest(self) -> int:
        """The largest width that `take` can serve now."""
        return max(map(len, self._holes), default=0)

    def take(self, width: int) -> range | None:
        """Take a contiguous block of `width` ranks out of the pool; None if no hole is wide enough.

        A block that fits on one node never spans two if it can be helped, a wider one spans as few as it can.
        """
        if not 1 <= width <= self._size:
            raise ValueError(
                f"a group of {width} ranks does not fit a world of {self._size}; widths are 1..{self._size}"
            )
        places = [
            (_cost(start, width, hole, self._ranks_per_node), hole, range(start, start + width))
            for hole in self._holes
            for start in range(hole.start, hole.stop - width + 1)
        ]
        if not places:
            return None
        _, hole, block = min(places, key=lambda place: place[0])
        self._cut(hole, block)
        return block

    def take_exactly(self, block: range) -> bool:
        """Take these ranks out of the pool if all of them are free, and say whether they were."""
        hole = next((hole for hole in self._holes if hole.start <= block.start and block.stop <= hole.stop), None)
        if hole is not None:
            self._cut(hole, block)
        return hole is not None

    def _cut(self, hole: range, block: range) -> None:
        at = self._holes.index(hole)
        rest = [range(hole.start, block.start), range(block.stop, hole.stop)]
        self._holes[at : at + 1] = [piece for piece in rest if piece]

    def give_back(self, block: range) -> None:
        """Return a block, or a contiguous part of one.

        Raises:
            ValueError: if some of it is free already, or no rank of this pool.
        """
        inside = block and block.step == 1 and block.start >= 0 and block.stop <= self._size
        if not inside or any(block.start < hole.stop and hole.start < block.stop for hole in self._holes):
            raise ValueError(f"{block} cannot be given back: free are {self._holes} of {self._size} ranks")
        merged: list[range] = []
        for hole in sorted([*self._holes, block], key=lambda each: each.start):
            if merged and merged[-1].stop == hole.start:
                merged[-1] = range(merged[-1].start, hole.stop)
            else:
                merged.append(hole)
        self._holes = merged


class _Cost(NamedTuple):
    """What a place costs, the weightiest first; the smallest is taken."""

    nodes: int
    crooked: bool
    broken_block: int
    hole: int
    start: int


def _cost(start: int, width: int, hole: range, ranks_per_node: int) -> _Cost:
    """Judge one place for a block; `broken_block` is the size of the aligned free block that it cuts into."""
    node = start // ranks_per_node
    offset = start - node * ranks_per_node
    stride = 1 << (width - 1).bit_length()

    node_end = (node + 1) * ranks_per_node

    def is_free(length: int) -> bool:
        first = start - offset % length
        return hole.start <= first and min(first + length, node_end) <= hole.stop

    broken_block = stride
    while broken_block < ranks_per_node and is_free(2 * broken_block):
        broken_block *= 2
    nodes = (start + width - 1) // ranks_per_node - node + 1
    return _Cost(nodes, offset % stride != 0, broken_block, len(hole), start)
