"""Heads of a PyTorch network that take outputs of other heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.networks.coupled_heads import TRUNK
from hpcmtl.networks.input_values import INPUT
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.samples import run_unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.training.head_building import BuiltHead

torch = import_torch()
_Module: Any = torch.nn.Module


class CoupledModule(_Module):
    """Heads by their names, some of which take outputs of others; returns the outputs in the order of the job."""

    def __init__(self, names: Sequence[str], heads: Sequence[BuiltHead]) -> None:
        """Takes the names of the heads in the order of the job, and the heads in the order of their computation."""
        super().__init__()
        blocks = {each.name: each.block for each in heads}
        for name in names:
            self._modules[name] = blocks[name]  # `add_module` refuses names such as `train` and `type`
        self._order = tuple((each.name, each.inputs, each.by_name) for each in heads)

    def forward(self, codes: Any) -> list[Any]:
        """Returns the outputs of all heads for the output of the trunk, or a list of its codes for each head."""
        each = codes if isinstance(codes, list) else [codes] * len(self._modules)
        of_head = dict(zip(self._modules, each, strict=True))
        made: dict[str, Any] = {}
        for name, inputs, by_name in self._order:
            given = {TRUNK: of_head[name], **made}
            if inputs.gradient == "stop":
                given |= {each: made[each].detach() for each in inputs.heads}
            made[name] = self._output(name, {each: given[each] for each in inputs.names}, by_name=by_name)
        return [made[name] for name in self._modules]

    def _output(self, name: str, given: Mapping[str, Any], *, by_name: bool) -> Any:
        head, arrays = self._modules[name], list(given.values())
        joined = {INPUT: arrays[0] if len(arrays) == 1 else torch.cat(arrays, dim=-1)} if not by_name else given
        return run_unchanged(head, joined)  # other heads take the same outputs
