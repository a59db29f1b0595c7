"""The base of the architectures, and numbers that several of them take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hpcmtl.networks.architectures.cells import CodeCell
from hpcmtl.networks.branch_graph import CODES, BranchGraph, BranchNode
from hpcmtl.networks.description import input_names, input_values
from hpcmtl.networks.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.networks.description import NetworkDescription

MOST_EXPERTS = 1000
Number = Annotated[int, Field(gt=0, le=MOST_EXPERTS)]


class GatedArchitecture(Spec):
    """Base of the architectures with gates on the inputs of the network; see `Architecture`."""

    @property
    def gates_inputs(self) -> bool:
        """See `Architecture`."""
        return True

    @property
    def further(self) -> tuple[NetworkDescription, ...]:
        """See `Architecture`."""
        return ()

    def problem(self, trunk: NetworkDescription) -> str | None:
        """See `Architecture`; gates multiply inputs, which must be numbers."""
        integers = [name for name in input_names(trunk) or () if input_values(trunk, name).integers]
        return tokens_problem(integers[0]) if integers else None


def tokens_problem(name: str) -> str:
    """Returns why gates cannot read an input of integers."""
    return f"its gates multiply inputs by weights, but `{name}` takes integers; use another trunk, or `hard_sharing`"


class StagedArchitecture(Spec):
    """Base of the architectures that use the layers of the trunk one by one; see `Architecture`."""

    @property
    def gates_inputs(self) -> bool:
        """See `Architecture`."""
        return False

    @property
    def further(self) -> tuple[NetworkDescription, ...]:
        """See `Architecture`."""
        return ()


def with_codes(nodes: Sequence[BranchNode], values: Mapping[str, str]) -> BranchGraph:
    """Returns a graph with a code for each head.

    Args:
        nodes: the nodes before the codes.
        values: name of a head -> name of the node whose value is its code.
    """
    codes = [BranchNode(name=f"{CODES}.{head}", cell=CodeCell(), takes=(value,)) for head, value in values.items()]
    return BranchGraph(nodes=(*nodes, *codes), codes=tuple(each.name for each in codes))
