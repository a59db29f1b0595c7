"""Mixtures of experts with a gate for each head: MMoE and DSelect-k."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from hpcmtl.networks.architectures.cells import GateCell, MixtureCell, NetworkCell, SelectorCell
from hpcmtl.networks.architectures.options import GatedArchitecture, Number, with_codes
from hpcmtl.networks.branch_graph import BranchNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.branch_graph import BranchGraph, Cell
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes


class _Mixture(GatedArchitecture):
    """Base of the mixtures whose experts serve all heads."""

    experts: Number

    def copies(self, heads: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002 - the seam's form
        """See `Architecture`."""
        return tuple(f"experts.{number}" for number in range(self.experts))

    def weights(self) -> Cell:
        """Returns the cell that weighs the experts for one head."""
        raise NotImplementedError

    def graph(self, trunk: NetworkDescription, heads: Sequence[str], inputs: InputShapes) -> BranchGraph:  # noqa: ARG002 - as above
        """See `Architecture`."""
        experts = self.copies(heads)
        nodes = [BranchNode(name=name, cell=NetworkCell(trunk)) for name in experts]
        for head in heads:
            gate = BranchNode(name=f"gates.{head}", cell=self.weights())
            nodes += [gate, BranchNode(name=f"mixtures.{head}", cell=MixtureCell(), takes=(gate.name, *experts))]
        return with_codes(nodes, {head: f"mixtures.{head}" for head in heads})


class Mmoe(_Mixture):
    """Multi-gate mixture of experts (Ma et al., KDD 2018): a softmax gate on the inputs for each head."""

    name: Literal["mmoe"] = "mmoe"

    def weights(self) -> Cell:
        """See `_Mixture`."""
        return GateCell(self.experts)


class DSelectK(_Mixture):
    """DSelect-k (Hazimeh et al., NeurIPS 2021): each head chooses at most `chosen` experts, by binary codes.

    The codes become binary while they are trained, by a smooth step. They are parameters, or depend on the inputs.
    """

    name: Literal["dselect_k"] = "dselect_k"
    chosen: Number = Field(description="most experts that a head uses, k")
    gamma: Annotated[float, Field(gt=0, le=1000)] = Field(default=1.0, description="width of the smooth step")
    gates: Literal["static", "inputs"] = Field(default="static", description="whether the choice depends on the sample")

    @field_validator("experts")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value < 2 or value & (value - 1):
            below = max(1 << (value.bit_length() - 1), 2)
            raise ValueError(f"found {value}; binary codes need a power of two, write {below} or {2 * below}")
        return value

    @field_validator("chosen")
    @classmethod
    def _at_most_all(cls, value: int, info: ValidationInfo) -> int:
        experts = info.data.get("experts")
        if experts is not None and value > experts:
            raise ValueError(f"found {value}, more than the {experts} experts; write {experts} or less")
        return value

    @property
    def gates_inputs(self) -> bool:
        """See `Architecture`."""
        return self.gates == "inputs"

    def problem(self, trunk: NetworkDescription) -> str | None:
        """See `Architecture`."""
        return super().problem(trunk) if self.gates_inputs else None

    def weights(self) -> Cell:
        """See `_Mixture`."""
        return SelectorCell(outputs=self.experts, chosen=self.chosen, gamma=self.gamma, by_input=self.gates_inputs)
