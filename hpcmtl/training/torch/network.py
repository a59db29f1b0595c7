"""A PyTorch network for inference, and the exchange of its parameters as numpy arrays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.frameworks.device import HOST
from hpcmtl.networks.description import values_by_input
from hpcmtl.training.parameter_names import mapped_values, one_value_each
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.modules import make_module, named_tensors
from hpcmtl.training.torch.parts import output_of_part
from hpcmtl.training.torch.place import place_of
from hpcmtl.training.torch.samples import samples_of
from hpcmtl.training.torch.zoo import outputs_of
from hpcmtl.training.users_objects import import_networks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes

torch = import_torch()


class TorchNetwork:
    """PyTorch module with initialised parameters, for inference; see `Network`.

    Attributes:
        device: device of the computation.
        samples: shape of a sample of each input.
        values: values of the samples that it takes, by the names of its inputs.
        place: the same device as PyTorch names it.
        module: the module.
        names: names of the objectives, in the order of the outputs.
        tensors: parameters and persistent buffers under all their names.
    """

    def __init__(
        self, network: NetworkDescription, samples: InputShapes, names: Sequence[str], seed: int, device: Device = HOST
    ) -> None:
        """Builds the module and initialises its parameters.

        Args:
            network: description of the network from the job.
            samples: shape of one sample of each input.
            names: names of the objectives, in the order of the network's outputs.
            seed: seed of the initial parameters.
            device: device of the computation.
        """
        self.device, self.place = device, place_of(device)
        self.samples, self.values = samples, values_by_input(network, samples)
        torch.set_num_threads(_threads(device))
        import_networks(network)
        with random_numbers.seeded(seed):
            self.module = make_module(network, samples).to(self.place)  # made on the host: equal on all devices
        self.names = tuple(names)
        self.tensors = named_tensors(self.module)
        self._training = False

    def set_training(self, *, active: bool) -> None:
        """Lets dropout and batch normalisation work as in training, or as in inference."""
        if active != self._training:
            self.module.train(active)
            self._training = active

    def outputs(self, inputs: Arrays, part: str | None = None) -> Arrays:
        """See `Learner`.

        Raises:
            InputError: there is no such part, or the network does not take such samples.
        """
        self.set_training(active=False)
        samples = samples_of(inputs, self.values, self.place)
        with torch.no_grad():
            if part is not None:
                return {"values": array_of(output_of_part(self.module, part, samples))}
            made = outputs_of(self.module, samples)
        return {name: array_of(output) for name, output in zip(self.names, made, strict=True)}

    def unwrapped(self) -> Any:
        """See `Network`: the module."""
        self.set_training(active=False)
        return self.module

    def parameter_arrays(self) -> Arrays:
        """Returns copies of all parameters and buffers, under names that begin with `PARAMETERS`.

        Raises:
            InputError: a pass has put another tensor in the place of a buffer.
        """
        self.require_own_tensors()
        return {PARAMETERS + name: array_of(tensor).copy() for name, tensor in self.tensors.items()}

    def require_own_tensors(self) -> None:
        """Refuses a network whose passes assign other tensors to buffers: the former ones would be kept and compared.

        Raises:
            InputError: there is such a buffer.
        """
        now = named_tensors(self.module)
        other = [name for name, tensor in self.tensors.items() if now.get(name) is not tensor]
        if other:
            text = f"a pass assigns another tensor to {', '.join(other)}, which checkpoints and ranks do not know"
            raise InputError([Problem("model", f"{text}; change it in place, as in `self.{other[0]}.copy_(...)`")])

    def load_parameters(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Overwrites all parameters; names and shapes must be those of `parameter_arrays`.

        Raises:
            InputError: two names of one parameter have different values.
        """
        self.assign({name: state[PARAMETERS + name] for name in self.tensors}, "parameters")

    def load_mapped(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """See `Learner`.

        Raises:
            InputError: no parameter matches, or a matching one has another shape.
        """
        return self.copy_mapped(parameters, mapping, self.tensors)

    def copy_mapped(
        self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping, names: Iterable[str]
    ) -> int:
        """Copies parameters of another task to those of this network with some names; returns their number.

        Raises:
            InputError: no parameter matches, a matching one has another shape, or the names of one parameter have
                different values.
        """
        taken = mapped_values(parameters, mapping, {name: tuple(self.tensors[name].shape) for name in names})
        self.assign(taken, f"parameters of {mapping.producer}")
        return len(taken)

    def assign(self, values: Mapping[str, np.ndarray[Any, Any]], origin: str) -> None:
        """Overwrites parameters by name, in place.

        Raises:
            InputError: two names of one parameter have different values.
        """
        with torch.no_grad():
            for name, value in one_value_each(self.tensors, values, origin).items():
                self.tensors[name].copy_(torch.tensor(value))


def _threads(device: Device) -> int:
    """Returns the number of threads of a computation: that of OpenMP's variable, if a user has set it."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(first) if first.isdigit() and int(first) else device.threads


def array_of(tensor: Any) -> np.ndarray[Any, Any]:
    """Returns the values of a tensor as an array, which shares its memory on the host."""
    array: np.ndarray[Any, Any] = tensor.detach().cpu().numpy()
    return array
