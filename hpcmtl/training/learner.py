"""The protocol of a learner: the network, objectives and optimizer of a task on one rank, in some framework.

Named numpy arrays go in and come out. The device of the computation is the learner's own affair. A learner works on one
rank and exchanges nothing with other ranks: that is done by a `SynchronisationStrategy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.frameworks.device import Device
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.training.objective_rows import GradientPlace, ObjectiveProducts, ObjectiveWeights, SharedWeights
    from hpcmtl.training.step_comparison import StepComparison
    from hpcmtl.training.step_input import StepInput
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
        self,
        batch: StepInput,
        weights: Sequence[float],
        scale: float,
        rows: np.ndarray[Any, Any],
        portions: Floats | None = None,
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

            portions: (m, n) factors on the weights of the samples, with sums of 1 over m. Each objective has m rows
                then, k m to k m + m - 1, of its gradients with each of these factors. It needs the whole share in one
                pass, without micro-batches.

        Yields:
            The number of each row, in order, as soon as it is complete; the next pass may be under way already. All
            are to be taken.

        Raises:
            InputError: a shared parameter has sparse gradients.
        """
        ...

    def backward_weighted(
        self,
        batch: StepInput,
        factors: Sequence[float],
        scale: float,
        weights: SharedWeights,
        place: GradientPlace | None = None,
    ) -> None:
        """Computes losses and gradients of one step, by weights that hold for the shared parameters alone.

        All is as with `forward_backward` and the weights `factors`, but that each objective counts ``weights[k]`` times
        in the gradients of the shared parameters. A weight of 0 counts as a millionth of the largest one.

        Args:
            batch: this rank's share of the batch.
            factors: one factor an objective, for all parameters.
            scale: factor on all losses.
            weights: one weight an objective; a function is called once, after a backward pass of each objective down to
                the place. It needs the whole share in one pass, without micro-batches.
            place: where the gradients that the function gets are measured: those of the sum over samples of ``scale *
                factors[k] * w[k, i] * loss[k, i]``, of this rank; None for weights.
        """
        ...

    def inner_products(self, batch: StepInput, weights: Sequence[float], scale: float) -> ObjectiveProducts | None:
        """Computes what `backward_each` does, but inner products of the rows in their place, where that is quicker.

        Args:
            batch: this rank's share of the batch, which is the whole batch.
            weights: one weight an objective.
            scale: factor on all losses.

        Returns:
            The inner products; None, without a pass, where `backward_each` is as quick.
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

    def apply(self, rate: float, rescale: float = 1.0, objectives: Sequence[int] | None = None) -> None:
        """Updates the trained parameters that some `objectives` depend on, or all; may return before it is done."""
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
