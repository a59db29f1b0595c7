"""Comparison of the replicas of a group: checksums of their arrays, and the names and ranks of what differs.

The checksum is a CRC-32 over the bytes of an array. It finds every single flipped bit, is exact for NaN, and takes less
time than a dot product in float64, which would also round small differences away. In the usual case one reduction of
two integers tells all ranks that their replicas are equal.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import TaskFailedError
from hpcmtl.launch.environment import node_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.session import SessionContext

_NAMED = 3  # arrays, and sets of ranks, that an error names


class ReplicasDifferError(TaskFailedError):
    """The replicas of a task differ between the ranks of its group; a retry would hide the cause."""

    may_retry = False


def differing_arrays(
    arrays: Mapping[str, np.ndarray[Any, Any]], group: Communicator
) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Compares arrays, bit by bit, over a group (collective).

    Args:
        arrays: arrays of this rank by name.
        group: ranks whose arrays are compared.

    Returns:
        The names of the arrays that differ. For each, the ranks with equal content together, most ranks first.
    """
    if group.size == 1:
        return {}
    mine = {name: _checksum(arrays[name]) for name in sorted(arrays)}
    whole = zlib.crc32(repr(mine).encode())
    extremes = np.array([whole, -whole], dtype=np.int64)
    group.Allreduce(extremes, "min")
    if extremes[0] == -extremes[1]:
        return {}
    ranks: list[dict[str, int]] = group.allgather(mine)
    names = sorted(set().union(*ranks))
    columns = {name: [rank.get(name) for rank in ranks] for name in names}
    return {name: _together(column) for name, column in columns.items() if len(set(column)) > 1}


def check_replicas(
    context: SessionContext, replica: Replica, state: Mapping[str, np.ndarray[Any, Any]], when: str
) -> None:
    """Compares the replicas of a group, which are equal where nothing is wrong (collective).

    Args:
        context: context of the session.
        replica: consolidated replica of this rank.
        state: `Learner.state` of its learner; further arrays are not compared.
        when: point of the training, for the error.

    Raises:
        ReplicasDifferError: on all ranks; arrays of two ranks differ.
    """
    group = context.group
    differing = differing_arrays(replica.equal_arrays(state), group)
    if not differing:
        return
    labels: list[str] = group.allgather(f"{group.rank if context.member is None else context.member} on {node_id()}")
    together: dict[str, list[str]] = {}
    for name, parts in differing.items():
        together.setdefault(_in_words(parts, labels), []).append(name)
    found = [f"{_listed(names)} ({ranks})" for ranks, names in together.items()]
    raise ReplicasDifferError(
        f"task {context.task}, {when}: the ranks have different values of {_listed(found)}. An optimizer, "
        "schedule or callable that depends on the rank does this, or a fault of memory or processor. Mend the cause, "
        "then `hpcmtl resume` goes on from the checkpoint before, which was equal on all ranks"
    )


def _checksum(array: np.ndarray[Any, Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)


def _listed(texts: Sequence[str]) -> str:
    """Returns the first texts, and the number of the others."""
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _together(column: Sequence[int | None]) -> tuple[tuple[int, ...], ...]:
    """Returns the ranks with the same checksum, the most frequent first."""
    return tuple(
        tuple(rank for rank, each in enumerate(column) if each == value) for value, _ in Counter(column).most_common()
    )


def _in_words(parts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Returns which ranks differ from which."""
    first, *others = parts
    if len(others) > _NAMED:
        return f"{len(parts)} different values"
    odd = ", ".join(f"rank {labels[rank]}" for part in others for rank in part)
    return f"{odd} against " + (f"rank {labels[first[0]]}" if len(first) == 1 else f"{len(first)} other ranks")
