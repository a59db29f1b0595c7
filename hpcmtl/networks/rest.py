"""Heads that are the rest of the network that the trunk was cut from: which parts fit behind which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import UserModel

if TYPE_CHECKING:
    from hpcmtl.networks.description import NetworkDescription

_BEHIND = {"body": "output", "encoder": "decoder"}
"""Part of a model of the zoo -> the part that takes its output."""


def rests_of(network: NetworkDescription, part: str) -> tuple[str, ...] | None:
    """Returns the parts of a network that take the output of one of its parts.

    Returns:
        Their names; none if no part does. None for a network with heads, and where only running it shows what fits.
    """
    if isinstance(network, Leaf):
        return None if isinstance(network.model, UserModel) else (_BEHIND[part],)
    return None if isinstance(network, Shared) else ()
