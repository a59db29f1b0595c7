"""The part of a batch or a data set that belongs to one rank of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints


def shard(batch_indices: Ints, group_rank: int, group_size: int) -> Ints:
    """Returns the contiguous part of one rank; sizes differ by at most one.

    Args:
        batch_indices: (n,) sample numbers of the whole group.
        group_rank: rank in the group.
        group_size: number of ranks in the group.

    Returns:
        A view of n // group_size numbers, or one more; it may be empty if there are fewer samples than ranks.

    Raises:
        ValueError: the rank is not in the group.
    """
    if not 0 <= group_rank < group_size:
        raise ValueError(f"rank {group_rank} is not in a group of {group_size}")
    samples = len(batch_indices)
    return batch_indices[samples * group_rank // group_size : samples * (group_rank + 1) // group_size]
