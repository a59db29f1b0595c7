"""Examines what a training pass of a network does, on samples of ones: what it draws, changes and reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.attributes import ModuleAttributes, restored
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.modules import is_normalisation
from hpcmtl.training.torch.place import CPU
from hpcmtl.training.torch.zoo import outputs_of
from hpcmtl.training.trial_rows import trial_rows
from hpcmtl.training.trials import ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.networks.models import Shape

torch = import_torch()


@dataclass(frozen=True, kw_only=True)
class PassFacts:
    """Describes a training pass.

    Attributes:
        draws: whether it draws random numbers.
        changed: names of the buffers that it changes.
        by_rows: names of those among them whose new values depend on the samples.
        reached: for each output the names of the parameters that it depends on.
    """

    draws: bool
    changed: tuple[str, ...]
    by_rows: frozenset[str]
    reached: tuple[frozenset[str], ...]


def examine(module: Any, tensors: Mapping[str, Any], sample: Shape) -> PassFacts:
    """Runs a network in training, and restores its tensors, attributes and the random numbers.

    Args:
        module: the network, in training mode.
        tensors: its parameters and persistent buffers, each once, by name.
        sample: shape of a sample.
    """
    wanted = {name: each for name, each in tensors.items() if each.requires_grad}
    buffers = {name: each for name, each in tensors.items() if not isinstance(each, torch.nn.Parameter)}
    attributes = ModuleAttributes([module])
    places = {each.device for each in tensors.values()}
    samples = torch.from_numpy(trial_rows(ROWS, sample)).to(places.pop() if len(places) == 1 else CPU)
    with random_numbers.kept(), restored(tensors) as before:
        mark = random_numbers.marks()
        outputs = outputs_of(module, samples)
        draws = random_numbers.marks() != mark
        after = {name: each.clone() for name, each in buffers.items()}
        changed = tuple(name for name, each in after.items() if not _equal(each, before[name]))
        reached = tuple(_reached(output, wanted) for output in outputs)
    attributes.restore()
    others = {name: after[name] for name in changed if id(buffers[name]) not in _of_normalisations(module)}
    alone = _not_by_rows(module, tensors, samples, others) if others else set()
    attributes.restore()
    return PassFacts(draws=draws, changed=changed, by_rows=frozenset(changed) - alone, reached=reached)


def _of_normalisations(module: Any) -> set[int]:
    return {id(buffer) for each in module.modules() if is_normalisation(each) for buffer in each.buffers()}


def _not_by_rows(module: Any, tensors: Mapping[str, Any], samples: Any, after: Mapping[str, Any]) -> set[str]:
    """Returns the names of buffers that have the same values after a pass over other samples, as spectral norms do."""
    zeros_and_ones = torch.arange(samples.numel(), device=samples.device).remainder(2).reshape(samples.shape)
    with random_numbers.kept(), restored(tensors), torch.no_grad():
        try:
            outputs_of(module, samples * zeros_and_ones)
        except (Exception, SystemExit):  # noqa: BLE001 - a network of the user's may refuse such samples
            return set()
        return {name for name, each in after.items() if _equal(tensors[name], each)}


def _equal(one: Any, other: Any) -> bool:
    return bool(torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)))


def _reached(output: Any, parameters: Mapping[str, Any]) -> frozenset[str]:
    """Returns the names of the parameters that an output depends on."""
    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        return frozenset()
    gradients = torch.autograd.grad(output.sum(), list(parameters.values()), allow_unused=True, retain_graph=True)
    return frozenset(name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None)
