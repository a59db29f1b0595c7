"""Multi-task attention network (Liu et al., CVPR 2019): one trunk, and masks of its layers for each head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hpcmtl.networks.architectures.cells import AttentionCell, ProjectionCell
from hpcmtl.networks.architectures.options import StagedArchitecture, with_codes
from hpcmtl.networks.architectures.stages import staged, stages_problem
from hpcmtl.networks.branch_graph import BranchNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.architectures.stages import LayerStage, StagedNetwork
    from hpcmtl.networks.branch_graph import BranchGraph
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes

_TRUNK = "shared"


class Mtan(StagedArchitecture):
    """A trunk for all heads; a head multiplies each of its layers by a mask, made of the layer and its layer before.

    The masks are those of the paper without batch normalisation, for trunks with one convolution between two poolings.
    """

    name: Literal["mtan"] = "mtan"

    def copies(self, heads: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002 - the seam's form
        """See `Architecture`."""
        return (_TRUNK,)

    def problem(self, trunk: NetworkDescription) -> str | None:
        """See `Architecture`."""
        return stages_problem(trunk)

    def graph(self, trunk: NetworkDescription, heads: Sequence[str], inputs: InputShapes) -> BranchGraph:
        """See `Architecture`."""
        network = staged(trunk, inputs)
        nodes: list[BranchNode] = []
        takes: tuple[str, ...] = ()
        for number, stage in enumerate(network.stages):
            run = network.nodes(_TRUNK, f"stages.{number}", stage, takes)
            nodes += run
            takes = (run[-1].name,)
        last = len(network.stages) - 1
        nodes = nodes[:-1] if network.stages[last].stop > network.stages[last].middle else nodes  # nothing reads it
        values: dict[str, str] = {}
        for head in heads:
            branch = list(_branch(network, head))
            nodes += branch
            values[head] = branch[-1].name
        return with_codes(nodes, values)


def _branch(network: StagedNetwork, head: str) -> tuple[BranchNode, ...]:
    """Returns the nodes of one head; the last one makes its code."""
    nodes: list[BranchNode] = []
    before: tuple[str, ...] = ()
    for number, stage in enumerate(network.stages):
        name = f"masks.{number}.{head}"
        nodes.append(BranchNode(name=name, cell=AttentionCell(), takes=(f"stages.{number}", *before)))
        if stage.stop > stage.middle:
            layers, takes = (stage.middle, stage.stop), (name,)
            name = f"{name}.next"
            nodes.append(network.node(_TRUNK, name, layers, stage.passed, takes))
        if number + 1 < len(network.stages):
            before = (f"steps.{number}.{head}",)
            nodes.append(BranchNode(name=before[0], cell=_step(network.stages[number + 1]), takes=(name,)))
    return (*nodes, *network.end(_TRUNK, f"ends.{head}", nodes[-1].name))


def _step(following: LayerStage) -> ProjectionCell:
    """Returns the layer between two masks of a head: it has the outputs of the trunk's next layer."""
    return ProjectionCell(outputs=following.made[0], kernel=following.kernel)
