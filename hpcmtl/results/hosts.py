"""The assignment of ranks to hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def blocks_of(hosts: Sequence[str]) -> dict[str, list[int]]:
    """Returns the ranks of each host, in the order of first appearance; `hosts` has the host of each rank."""
    blocks: dict[str, list[int]] = {}
    for rank, host in enumerate(hosts):
        blocks.setdefault(host, []).append(rank)
    return blocks
