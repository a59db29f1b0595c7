"""Examines what a training pass of a network does, on samples of ones: what it draws, changes and reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.python_random import ONE_AT_A_TIME
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.attributes import ModuleAttributes, restored
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.modules import is_normalisation
from hpcmtl.training.torch.place import CPU
from hpcmtl.training.torch.zoo import outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.training.torch.statistics import TorchBatchStatistics

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


def examined(
    module: Any, tensors: Mapping[str, Any], samples: Mapping[str, Any], statistics: TorchBatchStatistics
) -> tuple[PassFacts, frozenset[str]]:
    """Tries training passes of a network, none of which is counted; returns their facts, and `changed_by_rows`.

    Args:
        module: the network, in training mode.
        tensors: its parameters and persistent buffers, each once, by name.
        samples: samples of ones by input, see `trial_samples`.
        statistics: its batch normalisations.
    """
    statistics.before_pass()
    with ONE_AT_A_TIME:
        facts = examine(module, tensors, samples)
    statistics.leave_out_repeated()
    with ONE_AT_A_TIME:
        return facts, changed_by_rows(module, tensors, samples, facts.changed)


def examine(module: Any, tensors: Mapping[str, Any], samples: Mapping[str, Any]) -> PassFacts:
    """Runs a network in training, and restores its tensors, attributes and the random numbers.

    Args:
        module: the network, in training mode.
        tensors: its parameters and persistent buffers, each once, by name.
        samples: tensors of samples of ones by input, see `trial_samples`.
    """
    wanted = {name: each for name, each in tensors.items() if each.requires_grad}
    buffers = {name: each for name, each in tensors.items() if not isinstance(each, torch.nn.Parameter)}
    attributes, samples = ModuleAttributes(module), _beside(tensors, samples)
    with random_numbers.kept(), restored(tensors) as before:
        mark = random_numbers.marks()
        outputs = outputs_of(module, samples)
        draws = random_numbers.marks() != mark
        changed = tuple(name for name, each in buffers.items() if not _equal(each, before[name]))
        reached = tuple(_reached(output, wanted) for output in outputs)
    attributes.restore()
    return PassFacts(draws=draws, changed=changed, reached=reached)


def changed_by_rows(
    module: Any, tensors: Mapping[str, Any], samples: Mapping[str, Any], changed: Iterable[str]
) -> frozenset[str]:
    """Returns which of the buffers that a pass changes have values that depend on its rows, or on their number.

    Those of spectral norms and counters of steps do not; those of batch normalisation do, but for its counter.

    Args:
        module: the network, in training mode.
        tensors: its parameters and persistent buffers, each once, by name.
        samples: tensors of samples of ones by input, see `trial_samples`.
        changed: names of the buffers.
    """
    normalisations = [each for each in module.modules() if is_normalisation(each)]
    counters = {id(each.num_batches_tracked) for each in normalisations}
    normal = {id(buffer) for each in normalisations for buffer in each.buffers()} - counters
    certain = frozenset(name for name in changed if id(tensors[name]) in normal)
    open_ones = [name for name in changed if name not in certain and id(tensors[name]) not in counters]
    if not open_ones:
        return certain
    ones = _beside(tensors, samples)
    after, attributes = [], ModuleAttributes(module)
    for rows in (ones, {name: torch.cat([_mixed(each), each]) for name, each in ones.items()}):
        with random_numbers.kept(), restored(tensors), torch.no_grad():
            try:
                outputs_of(module, rows)
            except (Exception, SystemExit):  # noqa: BLE001 - a network of the user's may refuse such samples
                return certain.union(open_ones)
            after.append({name: tensors[name].clone() for name in open_ones})
        attributes.restore()
    return certain.union(name for name in open_ones if not _equal(after[0][name], after[1][name]))


def _mixed(ones: Any) -> Any:
    """Returns samples of zeros and ones in turn."""
    return ones * torch.arange(ones.numel(), device=ones.device).remainder(2).reshape(ones.shape)


def _beside(tensors: Mapping[str, Any], samples: Mapping[str, Any]) -> dict[str, Any]:
    """Returns samples on the device of the tensors."""
    places = {each.device for each in tensors.values()}
    place = places.pop() if len(places) == 1 else CPU
    return {name: each.to(place) for name, each in samples.items()}


def _equal(one: Any, other: Any) -> bool:
    return bool(torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)))


def _reached(output: Any, parameters: Mapping[str, Any]) -> frozenset[str]:
    """Returns the names of the parameters that an output depends on."""
    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        return frozenset()
    gradients = torch.autograd.grad(output.sum(), list(parameters.values()), allow_unused=True, retain_graph=True)
    return frozenset(name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None)
