"""Examines what a training pass of a network does, on samples of ones: what it draws, changes and reaches."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.attributes import ModuleAttributes
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.zoo import outputs_of
from hpcmtl.training.trial_rows import trial_rows
from hpcmtl.training.trials import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.networks.models import Shape

torch = import_torch()


@dataclass(frozen=True, kw_only=True)
class PassFacts:
    """Describes a training pass.

    Attributes:
        draws: whether it draws random numbers.
        changed: names of the buffers that it changes.
        reached: for each output the names of the parameters that it depends on.
    """

    draws: bool
    changed: tuple[str, ...]
    reached: tuple[frozenset[str], ...]


def examine(module: Any, tensors: Mapping[str, Any], sample: Shape) -> PassFacts:
    """Runs a network once in training, and restores its buffers and the random numbers.

    Args:
        module: the network, in training mode.
        tensors: its parameters and persistent buffers, each once, by name.
        sample: shape of a sample.
    """
    wanted = {name: each for name, each in tensors.items() if each.requires_grad}
    buffers = {name: each for name, each in tensors.items() if not isinstance(each, torch.nn.Parameter)}
    attributes = ModuleAttributes([module])
    with random_numbers.kept(), restored(buffers) as before:
        mark = random_numbers.marks()
        places = {each.device for each in tensors.values()}
        samples = torch.from_numpy(trial_rows(ROWS, sample))
        outputs = outputs_of(module, samples.to(places.pop()) if len(places) == 1 else samples)
        draws = random_numbers.marks() != mark
        changed = tuple(name for name, each in buffers.items() if not _equal(each, before[name]))
        reached = tuple(_reached(output, wanted) for output in outputs)
    attributes.restore()
    return PassFacts(draws=draws, changed=changed, reached=reached)


@contextmanager
def restored(tensors: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Restores tensors after a block; gives it their values before."""
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        yield before
    finally:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(before[name])


def _equal(one: Any, other: Any) -> bool:
    return bool(torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)))


def _reached(output: Any, parameters: Mapping[str, Any]) -> frozenset[str]:
    """Returns the names of the parameters that an output depends on."""
    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        return frozenset()
    gradients = torch.autograd.grad(output.sum(), list(parameters.values()), allow_unused=True, retain_graph=True)
    return frozenset(name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None)
