"""Heads of a Gluon network that take outputs of other heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.networks.coupled_heads import TRUNK
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.input_order import input_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.head_building import BuiltHead

mx = import_mxnet()
_HybridBlock: Any = mx.gluon.HybridBlock


class CoupledBlock(_HybridBlock):
    """Heads by their names, some of which take outputs of others; returns the outputs in the order of the job."""

    def __init__(self, names: Sequence[str], heads: Sequence[BuiltHead]) -> None:
        """Takes the names of the heads in the order of the job, and the heads in the order of their computation."""
        super().__init__()
        blocks = {each.name: each.block for each in heads}
        for name in names:
            self.register_child(blocks[name], name)
        # MXNet gives inputs by their places.
        order = [input_order(each.block, each.samples) if each.by_name else each.inputs.names for each in heads]
        self._order = tuple(
            (each.name, taken, each.inputs.gradient == "stop", each.by_name, each.joined_axis)
            for each, taken in zip(heads, order, strict=True)
        )

    def hybrid_forward(self, F: Any, *codes: Any) -> list[Any]:  # noqa: N803 - Gluon's form
        """Returns the outputs of all heads for the output of the trunk, or for its codes for each head."""
        each_code = codes if len(codes) > 1 else codes * len(self._children)
        of_head = dict(zip(self._children, each_code, strict=True))
        made: dict[str, Any] = {}
        for name, taken, stops, by_name, axis in self._order:
            made_of = {TRUNK: of_head[name], **made}
            if stops:
                made_of |= {each: F.BlockGrad(made[each]) for each in taken if each != TRUNK}
            given = [made_of[each] for each in taken]
            if len(given) > 1 and not by_name:
                given = [F.concat(*given, dim=axis)]
            made[name] = self._children[name](*given)
        return [made[name] for name in self._children]
