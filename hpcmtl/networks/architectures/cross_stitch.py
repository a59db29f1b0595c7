"""Cross-stitch networks (Misra et al., CVPR 2016): a copy of the trunk for each head, whose layers are mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hpcmtl.networks.architectures.cells import StitchCell
from hpcmtl.networks.architectures.options import StagedArchitecture, with_codes
from hpcmtl.networks.architectures.stages import staged, stages_problem
from hpcmtl.networks.branch_graph import BranchNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.branch_graph import BranchGraph
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes


class CrossStitch(StagedArchitecture):
    """Copies of the trunk, one a head: behind each layer each of them goes on with a learned sum of all."""

    name: Literal["cross_stitch"] = "cross_stitch"
    own: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.9, description="initial weight of the head's own copy; the others share the rest"
    )
    per: Literal["layer", "channel"] = Field(default="layer", description="what has weights of its own")

    def copies(self, heads: Sequence[str]) -> tuple[str, ...]:
        """See `Architecture`."""
        return tuple(f"towers.{head}" for head in heads)

    def problem(self, trunk: NetworkDescription) -> str | None:
        """See `Architecture`."""
        return stages_problem(trunk)

    def graph(self, trunk: NetworkDescription, heads: Sequence[str], inputs: InputShapes) -> BranchGraph:
        """See `Architecture`; images are mixed behind the pooling."""
        network = staged(trunk, inputs)
        nodes: list[BranchNode] = []
        takes: dict[str, tuple[str, ...]] = dict.fromkeys(heads, ())
        for number, stage in enumerate(network.stages):
            made: list[str] = []
            for head in heads:
                run = network.nodes(f"towers.{head}", f"stages.{number}.{head}", stage, takes[head])
                nodes += run
                made.append(run[-1].name)
            for place, head in enumerate(heads):
                cell = StitchCell(initial=self._initial(place, len(heads)), by_channel=self.per == "channel")
                nodes.append(BranchNode(name=f"stitches.{number}.{head}", cell=cell, takes=tuple(made)))
                takes[head] = (f"stitches.{number}.{head}",)
        for head in heads:
            end = network.end(f"towers.{head}", f"ends.{head}", *takes[head])
            nodes += end
            takes[head] = (end[-1].name,) if end else takes[head]
        return with_codes(nodes, {head: takes[head][0] for head in heads})

    def _initial(self, place: int, heads: int) -> tuple[float, ...]:
        other = (1 - self.own) / max(heads - 1, 1)
        return tuple(self.own if each == place else other for each in range(heads))
