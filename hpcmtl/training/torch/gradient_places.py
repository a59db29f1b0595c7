"""Gradients of objectives at one place of a network, which cost no backward pass below it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.losses import weighted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcmtl.training.objective_rows import GradientPlace
    from hpcmtl.training.step_input import StepInput

torch = import_torch()


@contextmanager
def followed(module: Any, last_layer: Sequence[Any], place: GradientPlace | None) -> Iterator[list[Any]]:
    """Gives the list of the tensors of a place, which a forward pass in the block completes.

    Args:
        module: network with a trunk.
        last_layer: parameters of its last shared layer.
        place: the place; None for no tensors.
    """
    found = list(last_layer) if place == "last_shared_layer" else list[Any]()
    if place != "features":
        yield found
        return
    handle = module.trunk.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()


def gradients_at(
    places: Sequence[Any], losses: Sequence[Any], batch: StepInput, factors: Sequence[float]
) -> np.ndarray[Any, Any]:
    """Returns the gradients of the objectives, times their factors, by tensors of the graph: (objectives, values).

    Args:
        places: the tensors.
        losses: losses of each objective; their graph is retained.
        batch: the batch of the losses.
        factors: factor on the losses of each objective.
    """
    wanted = [each for each in places if each.requires_grad]
    rows = np.zeros((len(losses), sum(each.numel() for each in wanted)), np.float32)
    for number, (loss, factor) in enumerate(zip(losses, factors, strict=True)):
        total = weighted(loss, batch, number, factor)
        if wanted and total.requires_grad:
            found = torch.autograd.grad(total, wanted, retain_graph=True, materialize_grads=True)
            rows[number] = torch.cat([each.reshape(-1).float() for each in found]).cpu().numpy()
    return rows
