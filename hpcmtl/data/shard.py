"""The part of a batch, or of a data set, that falls to one rank of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def shard(batch_indices: NDArray[np.int64], group_rank: int, group_size: int) -> NDArray[np.int64]:
    """Return the contiguous share of one rank; sizes differ by at most one.

    Args:
        batch_indices: (n,) sample numbers of the whole group.
        group_rank: rank in the group.
        group_size: number of ranks in the group.

    Returns:
        A view of (n // group_size or one more) numbers; empty when there are fewer samples than ranks and
        this rank is one of those that got none.

    Raises:
        ValueError: the rank is not one of the group.
    """
    if not 0 <= group_rank < group_size:
        raise ValueError(f"rank {group_rank} is not in a group of {group_size}")
    samples = len(batch_indices)
    return batch_indices[samples * group_rank // group_size : samples * (group_rank + 1) // group_size]
