"""Protocols of a deep-learning framework, and of its networks that only run; `Learner` is that of those that train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.frameworks.device import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.frameworks.environment import EnvironmentNeeds
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.collectives.base import CollectiveFactory
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.network_facts import NetworkFacts
    from hpcmtl.training.strategies.compressors import Compressor


class Network(Protocol):
    """A network with parameters, to be run but not trained."""

    def outputs(self, inputs: Arrays, part: str | None = None) -> Arrays:
        """See `Learner`."""
        ...

    def unwrapped(self) -> Any:
        """Returns the network as the framework has it, ready for inference; it shares the parameters."""
        ...

    def load_parameters(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Overwrites all parameters by those of a state (names that begin with `PARAMETERS`)."""
        ...


class Framework(Protocol):
    """Makes the networks and learners of one deep-learning library; holds no state of a task."""

    def network(
        self, network: NetworkDescription, samples: InputShapes, names: tuple[str, ...], device: Device = HOST
    ) -> Network:
        """Makes a network for samples of one shape an input, with one output a name.

        Raises:
            InputError: the network cannot be built.
        """
        ...

    def prepare_environment(self, tasks: Mapping[str, FrameworkNeeds]) -> EnvironmentNeeds:
        """Sets the environment variables of this process that some tasks need, before the framework computes anything.

        Args:
            tasks: needs of each task; what of them cannot be used is ignored here, and reported by `check`.

        Returns:
            The variables, for the other ranks.

        Raises:
            EnvironmentUnfitError: it is too late in this process.
        """
        ...

    def gpu_problem(self, number: int) -> str | None:
        """Returns why it cannot compute on one of the GPUs that this process may use, or None if it can."""
        ...

    def check(self, needs: FrameworkNeeds) -> NetworkFacts | None:
        """Makes all that a task asks of the framework once, and drops it again.

        If all targets are known, one step is made on samples of ones with targets of zeros.

        Returns:
            The shapes of the network; None if there is none, or if the shape of its input is not known.

        Raises:
            InputError: all that cannot be used. Where a problem belongs to a key of the task, its place begins with
                that key: ``loss own:Loss``, ``optimizer sgd``, ``model``, ``freeze``.
        """
        ...

    def learner(
        self,
        network: NetworkDescription,
        samples: InputShapes,
        objectives: tuple[Objective, ...],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> Learner:
        """Makes a learner.

        Raises:
            InputError: the network, losses, optimizer or patterns cannot be used.
        """
        ...

    def collectives(self) -> Mapping[str, CollectiveFactory]:
        """Returns the collectives of this framework's native arrays by name (`engine` in the job file)."""
        ...

    def compressors(self) -> Mapping[str, Callable[[], Compressor]]:
        """Returns the compressors of this framework's native arrays, by name; `none` need not be among them."""
        ...
