"""A PyTorch network on a GPU as a `Learner`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.host_copies import HostCopies, after_taking_back
from hpcmtl.training.learner import STEPS_IN_FLIGHT
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.learner import TorchLearner
from hpcmtl.training.torch.network import array_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.learner import Which
    from hpcmtl.training.objective_rows import ObjectiveWeights
    from hpcmtl.training.step_input import StepInput

torch = import_torch()


class TorchGpuLearner(TorchLearner):
    """A `TorchLearner` whose arrays do not lie in the host's memory; see `Learner`.

    Its views are copies. They are copied back at the next call of a method that uses the arrays.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Builds the network as `TorchLearner` does."""
        self.copies = HostCopies()
        self._steps: list[Any] = []  # events at the ends of steps under way
        super().__init__(*arguments, **options)

    @after_taking_back
    def views(self, which: Which) -> Arrays:
        """See `Learner`; all gradients are one copy."""
        if which == "gradients":
            whole = self._gradients.buffer
            pieces = self._gradients.pieces_of(self.copies.lend(which, array_of(whole).copy(), _writer(whole)))
            return dict(pieces)
        tensors: Mapping[str, Any] = (
            {str(number): share for number, share in enumerate(self._batch_statistics.shares)}
            if which == "batch_statistics"
            else self._arrays[which]
        )
        return {name: self.copies.lend(name, array_of(each).copy(), _writer(each)) for name, each in tensors.items()}

    @after_taking_back
    def forward_backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> None:
        """See `Learner`; waits for older steps, of which at most `STEPS_IN_FLIGHT` are under way."""
        super().forward_backward(batch, weights, scale)
        if self.place.type == "cuda":
            self._steps.append(torch.cuda.current_stream(self.place).record_event())
            if len(self._steps) > STEPS_IN_FLIGHT:
                self._steps.pop(0).synchronize()

    compare_step = after_taking_back(TorchLearner.compare_step)
    native = after_taking_back(TorchLearner.native)
    gradients_finite = after_taking_back(TorchLearner.gradients_finite)
    gradient_norm = after_taking_back(TorchLearner.gradient_norm)
    backward_each = after_taking_back(TorchLearner.backward_each)
    backward_weighted = after_taking_back(TorchLearner.backward_weighted)
    losses_of = after_taking_back(TorchLearner.losses_of)
    take_batch_statistics = after_taking_back(TorchLearner.take_batch_statistics)
    apply = after_taking_back(TorchLearner.apply)
    applied_gradients = after_taking_back(TorchLearner.applied_gradients)
    outputs = after_taking_back(TorchLearner.outputs)
    parameter_arrays = after_taking_back(TorchLearner.parameter_arrays)
    parameters_matching = after_taking_back(TorchLearner.parameters_matching)
    state = after_taking_back(TorchLearner.state)
    assign = after_taking_back(TorchLearner.assign)


def _writer(tensor: Any) -> Callable[[np.ndarray[Any, Any]], None]:
    """Returns a function that overwrites a tensor, also one that needs a gradient."""
    target = tensor.detach()
    return lambda values: target.copy_(torch.from_numpy(values))
