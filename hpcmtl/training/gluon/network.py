"""A Gluon network for inference, and the exchange of its parameters as numpy arrays."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.frameworks.device import HOST
from hpcmtl.networks.description import values_by_input
from hpcmtl.training.gluon.blocks import make_block
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.context import context_of
from hpcmtl.training.gluon.input_order import input_order
from hpcmtl.training.gluon.parameters import assign, named_parameters
from hpcmtl.training.gluon.parts import up_to
from hpcmtl.training.gluon.random_numbers import seeded
from hpcmtl.training.gluon.samples import samples_of
from hpcmtl.training.gluon.zoo import outputs_of
from hpcmtl.training.parameter_names import mapped_values
from hpcmtl.training.users_objects import import_networks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes

mx = import_mxnet()
# `training.network_checks` says so once for each task; MXNet says it at every first batch of every rank.
warnings.filterwarnings("ignore", message="Parameter .* is not used by any computation", module=r"mxnet\.gluon\.block")


class GluonNetwork:
    """Gluon block with initialised parameters, for inference; see `Network`."""

    def __init__(
        self, network: NetworkDescription, samples: InputShapes, names: Sequence[str], seed: int, device: Device = HOST
    ) -> None:
        """Builds the block and initialises its parameters.

        Args:
            network: description of the network from the job.
            samples: shape of one sample of each input.
            names: names of the objectives, in the order of the network's outputs.
            seed: seed of the initial parameters.
            device: device of the computation.
        """
        self.device, self.context = device, context_of(device)
        import_networks(network)
        with seeded(seed):
            self.block = make_block(network, samples)  # on the host: the same parameters on all devices
        self.values = values_by_input(network, input_order(self.block, samples))
        if device.kind != "cpu":
            self.block.collect_params().reset_ctx(self.context)
        self.block.hybridize(static_alloc=True)
        self.names = tuple(names)
        self._parts: dict[str, Any] = {}
        self.parameters = named_parameters(self.block)

    def outputs(self, inputs: Arrays, part: str | None = None) -> Arrays:
        """See `Learner`.

        Raises:
            InputError: there is no such part, or the network does not take such samples.
        """
        samples = samples_of(inputs, self.values, self.context)
        if part is not None:
            return {"values": self._up_to(part)(*samples).asnumpy()}
        made = outputs_of(self.block, samples)
        return {name: output.asnumpy() for name, output in zip(self.names, made, strict=True)}

    def unwrapped(self) -> Any:
        """See `Network`: the block."""
        return self.block

    def constants(self) -> list[Any]:
        """Returns the NDArrays that a training pass may change: running statistics and constants."""
        return [each.data() for each in self.block.collect_params().values() if each.grad_req == "null"]

    def _up_to(self, part: str) -> Any:
        """Returns the network from its input to the output of one part; it shares the parameters."""
        if part not in self._parts:
            self._parts[part] = up_to(self.block, part, self.values)
        return self._parts[part]

    def parameter_arrays(self) -> Arrays:
        """Returns copies of all parameters, under names that begin with `PARAMETERS`."""
        return {PARAMETERS + name: parameter.data().asnumpy() for name, parameter in self.parameters.items()}

    def load_parameters(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Overwrites all parameters; names and shapes must be those of `parameter_arrays`.

        Raises:
            InputError: two names of one parameter have different values.
        """
        assign(self.parameters, {name: state[PARAMETERS + name] for name in self.parameters}, "parameters")

    def load_mapped(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """See `Learner`.

        Raises:
            InputError: no parameter matches, or a matching one has another shape.
        """
        return self.copy_mapped(parameters, mapping, self.parameters)

    def copy_mapped(
        self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping, targets: Mapping[str, Any]
    ) -> int:
        """Copies parameters of another task to some of this network's; returns their number.

        Args:
            parameters: arrays of the other task, under names that begin with `PARAMETERS`.
            mapping: names to copy.
            targets: parameters of this network that may be overwritten, by name.

        Raises:
            InputError: no parameter matches, a matching one has another shape, or the names of one parameter have
                different values.
        """
        taken = mapped_values(parameters, mapping, {name: tuple(each.shape) for name, each in targets.items()})
        assign(targets, taken, f"parameters of {mapping.producer}")
        return len(taken)
