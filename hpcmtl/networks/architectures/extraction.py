"""Customised gate control and progressive layered extraction (Tang et al., RecSys 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from hpcmtl.networks.architectures.cells import GateCell, MixtureCell, NetworkCell
from hpcmtl.networks.architectures.options import MOST_EXPERTS, GatedArchitecture, Number, with_codes
from hpcmtl.networks.branch_graph import BranchNode
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.zoo import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.branch_graph import BranchGraph
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes

_SHARED = "shared"


class _Extraction(GatedArchitecture):
    """Base of both: experts of all heads and experts of each head, in one level or several."""

    shared: Number = Field(description="experts that all heads use")
    own: Number = Field(description="experts of each head")

    def copies(self, heads: Sequence[str]) -> tuple[str, ...]:
        """See `Architecture`."""
        return tuple(name for names in self._experts(0, heads).values() for name in names)

    def graph(self, trunk: NetworkDescription, heads: Sequence[str], inputs: InputShapes) -> BranchGraph:  # noqa: ARG002 - the seam's form
        """See `Architecture`.

        A gate reads what the experts read: the inputs, or behind the first level the sum of the level before. The
        shared experts of a further level read a sum of all experts, by a gate on what shared experts before them read.
        """
        models = (trunk, *self.further)
        nodes: list[BranchNode] = []
        takes: dict[str, tuple[str, ...]] = dict.fromkeys([_SHARED, *_keys(heads)], ())
        for level, model in enumerate(models):
            experts = self._experts(level, heads)
            for key, names in experts.items():
                nodes += [BranchNode(name=name, cell=NetworkCell(model), takes=takes[key]) for name in names]
            mixed = _mixed(experts, with_shared=level < len(models) - 1)
            for key, names in mixed.items():
                gate = BranchNode(name=f"levels.{level}.gates.{key}", cell=GateCell(len(names)), takes=takes[key])
                made = f"levels.{level}.mixtures.{key}"
                nodes += [gate, BranchNode(name=made, cell=MixtureCell(), takes=(gate.name, *names))]
                takes[key] = (made,)
        return with_codes(nodes, {head: takes[key][0] for head, key in zip(heads, _keys(heads), strict=True)})

    def _experts(self, level: int, heads: Sequence[str]) -> dict[str, list[str]]:
        """Returns the names of the experts of a level: those of all heads, and those of each."""
        numbers = {_SHARED: self.shared, **dict.fromkeys(_keys(heads), self.own)}
        return {key: [f"levels.{level}.{key}.{each}" for each in range(count)] for key, count in numbers.items()}


class Cgc(_Extraction):
    """Customised gate control: one level, in which a head's gate weighs its own experts and the shared ones."""

    name: Literal["cgc"] = "cgc"


class Ple(_Extraction):
    """Progressive layered extraction: levels of customised gate control, each on the sums of the one before."""

    name: Literal["ple"] = "ple"
    levels: Annotated[tuple[Model, ...], Field(max_length=MOST_EXPERTS)] = Field(
        description="models of the experts of each level behind the first one, whose experts are the trunk"
    )

    @field_validator("levels")
    @classmethod
    def _at_least_one(cls, value: tuple[Model, ...]) -> tuple[Model, ...]:
        if not value:
            raise ValueError("there is no level behind the first one; use `cgc`, or write [{name: mlp, ...}]")
        return value

    @property
    def further(self) -> tuple[NetworkDescription, ...]:
        """See `Architecture`."""
        return tuple(map(Leaf, self.levels))

    def problem(self, trunk: NetworkDescription) -> str | None:
        """See `Architecture`; a level takes the floats of the one before."""
        found = super().problem(trunk)
        for number, model in enumerate(self.levels):
            names = model.input_names
            if names is not None and (len(names) > 1 or model.input_values(names[0]).integers):
                text = (
                    f"the model {model.name} of `levels` (entry {number + 1}) cannot take what the level before makes"
                )
                found = found or f"{text}; use a model of one input of numbers"
        return found


def _keys(heads: Sequence[str]) -> list[str]:
    return [f"own.{head}" for head in heads]


def _mixed(experts: dict[str, list[str]], *, with_shared: bool) -> dict[str, list[str]]:
    """Returns the experts that each gate weighs: of a head its own and the shared ones, else all."""
    found = {key: [*names, *experts[_SHARED]] for key, names in experts.items() if key != _SHARED}
    every = [name for key, names in experts.items() if key != _SHARED for name in names]
    return {**found, _SHARED: [*every, *experts[_SHARED]]} if with_shared else found
