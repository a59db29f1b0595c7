"""All that the rest of hpcmtl knows of a deep-learning framework.

Named numpy arrays go in and come out; a step is one call; where it computes is the learner's own affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.errors import Problem
    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.schema import Job, Optimizer
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping


STEPS_IN_FLIGHT = 8
"""Half of the steps that may be under way at once: enough to keep the cores busy, and a bound on the batches held."""


@dataclass(frozen=True)
class StepInput:
    """What one rank puts into one step of its group.

    Attributes:
        inputs: (n, *sample shape), this rank's share of the batch.
        targets: one array (n, ...) for each objective, in order.
        weights: (n,) float32 sample weights; 0 for a row that only fills an empty share.
        global_samples: samples in the whole group's batch.
    """

    inputs: np.ndarray[Any, Any]
    targets: tuple[np.ndarray[Any, Any], ...]
    weights: np.ndarray[Any, Any]
    global_samples: int


@dataclass(frozen=True)
class LearnerSettings:
    """How a task trains; equal on all ranks of its group.

    Attributes:
        optimizer: name, weight decay and options; the learning rate comes with each step.
        engine: as in the job file.
        compression: what gradients travel as: `none`, `fp16` or `auto` (measured).
        freeze: patterns of parameter names that are not trained, and not communicated.
        seed: of the initial parameters; the same for any number of ranks.
    """

    optimizer: Optimizer
    engine: str = "horovod"
    compression: str = "none"
    freeze: tuple[str, ...] = ()
    seed: int = 0


class Learner(Protocol):
    """A network, its objectives and its optimizer, on one rank of a group.

    Methods marked *collective* are called by all ranks of the group in the same order.
    """

    @property
    def engine_name(self) -> str:
        """Name of the engine that combines the gradients."""
        ...

    @property
    def engine_reason(self) -> str:
        """Why that engine."""
        ...

    @property
    def compression(self) -> str:
        """What gradients travel as, with the reason where it was measured."""
        ...

    @property
    def skipped_steps(self) -> int:
        """Steps that changed nothing since an fp16 gradient overflowed."""
        ...

    def reseed(self, seed: int) -> None:
        """Start the random numbers of dropout and the like afresh."""
        ...

    def step(self, batch: StepInput, learning_rate: float) -> None:
        """One optimizer step on the mean loss of the group's batch (collective).

        May return before it is done, but not with more than twice `STEPS_IN_FLIGHT` under way.
        """
        ...

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """This rank's share of the mean loss of each step, (steps, objectives); each step is given once, in order.

        The sum over the ranks is the loss. Waits for all steps but the newest `in_flight`, which stay for a later call.
        """
        ...

    def outputs(self, inputs: np.ndarray[Any, Any], part: str | None = None) -> Arrays:
        """Outputs (n, ...) by objective for samples (n, ...); with `part`, that part's output as ``values``."""
        ...

    def state(self) -> Arrays:
        """Copies of all parameters, optimizer state and counters, by name; equal on all ranks (collective)."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take up a state that `state` gave, on all ranks alike."""
        ...

    def load_mapped(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """Copy the parameters of another task that a takeover names; return how many."""
        ...

    def refresh_frozen(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """As `load_mapped`, but only of parameters that are frozen here; may be called between any two steps."""
        ...

    def parameters_matching(self, pattern: str) -> Arrays:
        """Copies of the parameters that match, by name; waits for the steps under way."""
        ...

    def set_parameters(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Overwrite parameters by name."""
        ...

    def gradients(self, pattern: str) -> Arrays:
        """Copies of the mean gradients of the last step, of the trained parameters that match."""
        ...

    def synchronise(self) -> None:
        """Give every rank the parameters of the group's first (collective)."""
        ...

    def close(self) -> None:
        """Let go of group and engine (collective); the learner may join another group, or be dropped."""
        ...


class Network(Protocol):
    """A network with parameters, to be run but not trained."""

    def outputs(self, inputs: np.ndarray[Any, Any], part: str | None = None) -> Arrays:
        """See `Learner`."""
        ...

    def load_parameters(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Overwrite all parameters by those of a state (names that begin with ``parameters/``)."""
        ...


class Framework(Protocol):
    """What makes networks and learners; one a deep-learning library."""

    def network(self, network: NetworkDescription, sample: Shape, names: tuple[str, ...]) -> Network:
        """Make a network for samples of one shape, with one output a name."""
        ...

    def problems_with(self, job: Job, arrays: Mapping[str, ArraySpec]) -> list[Problem]:
        """Build every network, loss and optimizer of a job once and say what cannot be used."""
        ...

    def learner(
        self,
        network: tuple[NetworkDescription, Shape],
        objectives: tuple[Objective, ...],
        settings: LearnerSettings,
        group: Communicator,
    ) -> Learner:
        """Make a learner on a group, with the engine that `settings` ask for or one that can take its place.

        Raises:
            EnvironmentUnfitError: no engine may take its place.
            InputError: the network, losses, optimizer or patterns cannot be used.
        """
        ...

    def join(self, learner: Learner, settings: LearnerSettings, group: Communicator) -> None:
        """Bring a learner that was closed into another one, with the settings that it was made with.

        Its state is what it was; that of the other ranks may be another (see `Learner.load_state`).

        Raises:
            EnvironmentUnfitError: no engine may take the place of the one that is asked for.
        """
        ...
