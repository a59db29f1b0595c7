"""A Gluon network on a GPU as a `Learner`. It has been tested on a second context of the CPU alone, and on no GPU."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.layout import overwrite
from hpcmtl.training.gluon.learner import GluonLearner
from hpcmtl.training.host_copies import HostCopies, after_taking_back
from hpcmtl.training.step_comparison import StepComparison

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays
    from hpcmtl.training.learner import Which
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


class GluonGpuLearner(GluonLearner):
    """A `GluonLearner` whose arrays do not lie in the host's memory; see `Learner`.

    Its views are copies. They are copied back at the next call of a method that uses the arrays.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Builds the network as `GluonLearner` does."""
        self.copies = HostCopies()
        super().__init__(*arguments, **options)

    @after_taking_back
    def views(self, which: Which) -> Arrays:
        """See `Learner`."""
        arrays = self._arrays_of(which)
        return {
            name: self.copies.lend(name, array.asnumpy(), partial(overwrite, array)) for name, array in arrays.items()
        }

    def compare_step(self, batch: StepInput, rate: float) -> StepComparison:  # noqa: ARG002 - the seam's form
        """See `Learner`; no step is compared, since the comparison works on the host's memory."""
        return StepComparison(draws=self.traits.may_draw)

    forward_backward = after_taking_back(GluonLearner.forward_backward)
    native = after_taking_back(GluonLearner.native)
    gradients_finite = after_taking_back(GluonLearner.gradients_finite)
    gradient_norm = after_taking_back(GluonLearner.gradient_norm)
    backward_each = after_taking_back(GluonLearner.backward_each)
    backward_weighted = after_taking_back(GluonLearner.backward_weighted)
    losses_of = after_taking_back(GluonLearner.losses_of)
    take_batch_statistics = after_taking_back(GluonLearner.take_batch_statistics)
    apply = after_taking_back(GluonLearner.apply)
    applied_gradients = after_taking_back(GluonLearner.applied_gradients)
    outputs = after_taking_back(GluonLearner.outputs)
    parameter_arrays = after_taking_back(GluonLearner.parameter_arrays)
    parameters_matching = after_taking_back(GluonLearner.parameters_matching)
    state = after_taking_back(GluonLearner.state)
    load_parameters = after_taking_back(GluonLearner.load_parameters)
    copy_mapped = after_taking_back(GluonLearner.copy_mapped)
    set_parameters = after_taking_back(GluonLearner.set_parameters)
