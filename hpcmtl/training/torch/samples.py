"""Makes tensors of the samples that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.input_values import INPUT
from hpcmtl.training.input_names import arguments_of, in_order
from hpcmtl.training.network_inputs import taken
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.place import CPU
from hpcmtl.training.trial_rows import trial_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.shapes import InputShapes

torch = import_torch()
_Module: Any = torch.nn.Module


def samples_of(inputs: Arrays, values: Mapping[str, InputValues], place: Any = CPU) -> dict[str, Any]:
    """Returns copies of the samples of all inputs as tensors, int64 or float32, by the names of the inputs.

    Raises:
        InputError: the network takes integers, and the samples are no such integers.
    """
    # A copy by numpy takes a third of the time of one by PyTorch.
    return {name: torch.from_numpy(each.astype(dtype)).to(place) for name, each, dtype in taken(inputs, values)}


def trial_samples(count: int, samples: InputShapes, values: Mapping[str, InputValues]) -> dict[str, Any]:
    """Returns samples of ones as tensors on the host, see `trial_rows`."""
    return {name: torch.from_numpy(each) for name, each in trial_rows(count, samples, values).items()}


class EnclosingModule(_Module):
    """A module whose inputs go to one module inside it, which is `first`."""

    @property
    def first(self) -> Any:
        """The module that takes the inputs."""
        raise NotImplementedError


def require_inputs(module: Any, given: Collection[str]) -> None:
    """Refuses a module that takes other inputs.

    Raises:
        InputError: the arguments of its forward pass are others.
    """
    while isinstance(module, EnclosingModule):
        module = module.first
    in_order(arguments_of(module.forward), given)


def run(module: Any, samples: Mapping[str, Any]) -> Any:
    """Returns what a module puts out for the samples of its inputs: one input has no name."""
    return module(samples[INPUT]) if samples.keys() == {INPUT} else module(**samples)


def run_unchanged(module: Any, samples: Mapping[str, Any]) -> Any:
    """Returns what a module puts out for inputs that other modules take after it.

    Raises:
        InputError: it writes over one of them.
    """
    before = [each._version for each in samples.values()]  # noqa: SLF001 - has no other name
    made = run(module, samples)
    if before != [each._version for each in samples.values()]:  # noqa: SLF001 - as above
        text = f"{type(module).__name__} writes over its input, which other heads, experts or gates take after it"
        raise InputError([Problem("model", f"{text}; let its first layer work with `inplace=False`")])
    return made
