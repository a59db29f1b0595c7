"""Protocols of a deep-learning framework: networks, learners, and the framework that makes them.

Named numpy arrays go in and come out. The device of the computation is the learner's own affair. A learner works on one
rank and exchanges nothing with other ranks: that is done by a `SynchronisationStrategy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from hpcmtl.frameworks.device import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.frameworks.device import Device
    from hpcmtl.frameworks.environment import EnvironmentNeeds
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.collectives.base import CollectiveFactory
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.network_facts import NetworkFacts
    from hpcmtl.training.objective_rows import ObjectiveWeights
    from hpcmtl.training.step_comparison import StepComparison
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.compressors import Compressor
    from hpcmtl.training.traits import LearnerTraits


Which = Literal[
    "gradients", "private_gradients", "touched_rows", "trained", "parameters", "statistics", "batch_statistics"
]
"""Arrays of a learner: gradients of the trained parameters, those of them that only one objective depends on, the
trained parameters themselves in the same order, all parameters, or the running statistics among them that are not
frozen. Each array is listed once: a parameter with several names (tied weights) under the first of them.
``touched_rows`` has a float32 array (rows,) for each gradient of which only the rows that the batch touches exist:
above 0 for these rows. ``batch_statistics`` has this rank's shares of the statistics of the newest batch, see
`Learner.take_batch_statistics`."""

OPTIMIZER = "optimizer/"
"""Prefix of the optimizer's moments and counters in the state of a learner."""
STEPS_IN_FLIGHT = 8
"""Half of the largest number of steps under way: it keeps the cores busy, and bounds the batches in memory."""


class Learner(Protocol):
    """A network, its objectives and its optimizer on one rank.

    No method but a pass with `LearnerSettings.sync_batchnorm` exchanges anything with another rank.
    """

    @property
    def device(self) -> Device:
        """The device that it computes on."""
        ...

    @property
    def traits(self) -> LearnerTraits:
        """Properties of network, losses and optimizer; what cannot be known is taken for true."""
        ...

    def use_group_sum(self, total: Callable[[np.ndarray[Any, Any]], None]) -> None:
        """Takes the sum over the present group, which overwrites an array; passes call it on all ranks alike."""
        ...

    def reseed(self, seed: int) -> None:
        """Restarts the random numbers of dropout and similar operations, and of the optimizer."""
        ...

    def forward_backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> None:
        """Computes losses and gradients of one step.

        The gradients are those of the sum over objectives k and samples i of ``scale * weights[k] * w[k, i] * loss[k,
        i]``, where w[k] is `StepInput.weights_of` the objective. A row with several targets has a loss with each of
        them, see `StepInput.targets_per_row`. May return before the computation is done, with at
        most twice `STEPS_IN_FLIGHT` steps under way.

        Args:
            batch: this rank's share of the batch.
            weights: one weight an objective; a function of the losses is called once, after the forward pass, which is
                waited for. It needs the whole share in one pass, without micro-batches.
            scale: factor on all losses.
        """
        ...

    def backward_each(
        self, batch: StepInput, weights: Sequence[float], scale: float, rows: np.ndarray[Any, Any]
    ) -> Iterator[int]:
        """Computes losses and gradients of one step, those by the shared parameters for each objective by itself.

        Shared are the trained parameters that at least two objectives depend on; all of them if there is one objective.
        The gradients of the others (`private_gradients`) are those of `forward_backward`; those of the shared ones
        are to be written by the caller. Everything else is as with `forward_backward`.

        Args:
            batch: this rank's share of the batch.
            weights: one weight an objective.
            scale: factor on all losses.
            rows: (objectives, width) float32 array to be filled, where the width is at least the number of values of
                the shared parameters. Row k begins with the gradient of the sum over samples of ``scale * weights[k] *
                w[k, i] * loss[k, i]`` by the shared parameters, one after the other in the order of `views`; what comes
                after them stays as it is.

        Yields:
            The number of each objective, in order, as soon as its row is complete; the next pass may be under way
            already. All are to be taken.

        Raises:
            InputError: a shared parameter has sparse gradients.
        """
        ...

    def losses_of(self, batch: StepInput) -> Floats:
        """Returns this rank's shares of the mean losses of a batch in a training pass, (objectives,).

        Random numbers, running statistics and gradients stay as they are.
        """
        ...

    def compare_step(self, batch: StepInput, rate: float) -> StepComparison:
        """Compares a step on a few rows with the framework's own arithmetic; random numbers go on as after `reseed`."""
        ...

    def run_uncompiled(self) -> None:
        """Runs the network from here on operation by operation."""
        ...

    def gradients(self) -> Arrays:
        """Returns the gradients of the trained parameters by name, as numpy views; see `views`."""
        ...

    def views(self, which: Which) -> Arrays:
        """Returns arrays of this learner by name, as numpy arrays that share its memory where the framework allows it.

        Waits for all steps under way. Writing to a view changes the learner's array. A view is valid until the next
        call of another method of the learner.
        """
        ...

    def native(self, which: Which) -> Sequence[Any]:
        """Returns the framework's own arrays, in the order of `views`; does not wait.

        Gradients are the same objects at each call.
        """
        ...

    def gradient_norm(self) -> float:
        """Returns the Euclidean norm of all gradients together; waits for them."""
        ...

    def gradients_finite(self) -> bool:
        """Returns whether all gradients are finite; waits for them."""
        ...

    def take_batch_statistics(self) -> None:
        """Updates the running statistics as the whole batch does, after a step of several ranks.

        The arrays `batch_statistics` are means over the group by now. Without them, statistics are of this rank's rows.
        """
        ...

    def apply(self, rate: float, rescale: float = 1.0) -> None:
        """Updates the trained parameters once, with the gradients times `rescale`; may return before it is done."""
        ...

    def applied_gradients(self, pattern: str) -> Arrays:
        """Returns copies of the gradients of the last `apply`, rescaled, of the trained parameters that match."""
        ...

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """Returns this rank's share of the mean loss of each step, (steps, objectives); each step once, in order.

        The sum over the ranks is the loss. Waits for all steps but the newest `in_flight`, which stay for a later call.
        """
        ...

    def newest_losses(self) -> Floats | None:
        """Returns this rank's shares of the mean losses of the newest step; None before the first one."""
        ...

    def outputs(self, inputs: Arrays, part: str | None = None) -> Arrays:
        """Returns outputs (n, ...) by objective for samples (n, ...) by input; those of a `part` are ``values``."""
        ...

    def state(self) -> Arrays:
        """Returns copies of this rank's parameters (`PARAMETERS`), optimizer state and counters (`OPTIMIZER`)."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned; other names are ignored."""
        ...

    def load_mapped(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """Copies the parameters of another task that a mapping names; returns their number."""
        ...

    def refresh_frozen(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """Copies as `load_mapped`, but only to frozen parameters; may be called between any two steps."""
        ...

    def parameters_matching(self, pattern: str) -> Arrays:
        """Returns copies of the parameters that match, by name; waits for the steps under way."""
        ...

    def set_parameters(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Overwrites parameters by name."""
        ...

    def quiesce(self) -> None:
        """Waits for all operations under way, and drops losses that were not collected; a group may be left then."""
        ...


class Network(Protocol):
    """A network with parameters, to be run but not trained."""

    def outputs(self, inputs: Arrays, part: str | None = None) -> Arrays:
        """See `Learner`."""
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
