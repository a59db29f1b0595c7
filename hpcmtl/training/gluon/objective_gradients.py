"""Gradients of each objective by itself: a backward pass for each, after one forward pass where that is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.layout import view
from hpcmtl.training.gluon.parameters import is_statistic, reached_parameters
from hpcmtl.training.gluon.random_numbers import seed_all
from hpcmtl.training.gluon.sparse import is_row_sparse
from hpcmtl.training.objective_rows import shared_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


class GradientsOfObjectives:
    """Rows of gradients by the shared parameters, one an objective.

    Attributes:
        private: names of the parameters that only one objective depends on.
        statistics: NDArrays that MXNet updates in each backward pass, such as running means.
    """

    def __init__(self, block: Any, trained: Mapping[str, Any], inputs: int) -> None:
        """Takes a network and its trained parameters by name.

        Raises:
            InputError: the gradients of a parameter are sparse.
        """
        sparse = [name for name, parameter in trained.items() if is_row_sparse(parameter)]
        if sparse:
            text = f"the gradients of {', '.join(sparse)} are sparse, and this weighting compares whole gradients"
            raise InputError([Problem("weighting", f"{text}: leave `sparse_grad` out")])
        self.statistics = [each.data() for each in block.collect_params().values() if is_statistic(each)]
        reached = reached_parameters(block, trained, inputs)
        shared = shared_names(trained, reached)
        self.private = tuple(name for name in trained if name not in shared)
        self._shared = [trained[name] for name in shared]
        self._private = [[trained[name] for name in self.private if name in names] for names in reached]
        # Gradients of each objective: later passes overwrite those of the parameters, private ones by 0.
        self._taken = [[mx.nd.zeros_like(each.grad()) for each in [*self._shared, *own]] for own in self._private]

    def backward(self, passes: Callable[[int], list[Any]], loss: TrainingLoss, *, add: bool) -> Iterator[list[Any]]:
        """Runs the pass of each objective, and yields its losses when all is handed to MXNet's engine.

        Args:
            passes: function that runs the backward pass of an objective, and returns the losses of all.
            loss: network and losses.
            add: whether the rows have sums of other parts already.
        """
        for number in range(len(self._private)):
            loss.clear()
            losses = passes(number)
            for parameter, taken in zip([*self._shared, *self._private[number]], self._taken[number], strict=True):
                gradient = parameter.grad()
                (taken + gradient if add else gradient).copyto(taken)
            yield losses

    def wait(self, objective: int, rows: np.ndarray[Any, Any]) -> int:
        """Waits for the gradients of an objective, copies them to its row, and returns its number."""
        start = 0
        for taken in self._taken[objective][: len(self._shared)]:
            rows[objective, start : start + taken.size] = values_of(taken).ravel()
            start += taken.size
        return objective

    def finish(self) -> None:
        """Gives the private parameters the gradients of their objectives."""
        for own, taken in zip(self._private, self._taken, strict=True):
            for parameter, gradient in zip(own, taken[len(self._shared) :], strict=True):
                gradient.copyto(parameter.grad())


def passes_of(
    loss: TrainingLoss, batch: StepInput, factors: Sequence[float], keep: Sequence[Any], seed: int | None
) -> Callable[[int], list[Any]]:
    """Returns a function that runs the backward pass of an objective by its number, in order.

    There is one forward pass. Only where a pass draws random numbers has each objective one of its own, with the same
    numbers: over one retained graph mxnet 1.9.1 gives wrong gradients for dropout, which from the second pass on belong
    to another mask (measured with and without `hybridize`).

    Args:
        loss: network and losses.
        batch: this rank's share of the batch, or a part of it.
        factors: factor on the losses of each objective.
        keep: NDArrays that a pass changes and that count one pass alone; those of backward passes if nothing is drawn.
        seed: seed of the random numbers of the step; None if none are drawn.
    """
    before = [array.copy() for array in keep] if seed is not None else list[Any]()
    forward: list[list[Any]] = []

    def run(number: int) -> list[Any]:
        if number == 0 or seed is not None:
            _restore(keep, before)
            if seed is not None:
                seed_all(seed)
            forward[:] = [loss.forward(batch)]
            if seed is None:
                before[:] = [array.copy() for array in keep]  # as the forward pass left them
        else:
            _restore(keep, before)
        chosen = [factor if each == number else 0.0 for each, factor in enumerate(factors)]
        last = seed is not None or number == len(factors) - 1
        loss.backward_from(forward[0], batch, chosen, retain_graph=not last)
        return forward[0]

    return run


def _restore(arrays: Sequence[Any], before: Sequence[Any]) -> None:
    """Overwrites arrays by what they were; nothing if that was not kept."""
    for array, old in zip(arrays, before, strict=False):
        old.copyto(array)


def values_of(array: Any) -> np.ndarray[Any, Any]:
    """Returns the values of an NDArray, on the host without a copy; waits for them."""
    if array.context != mx.cpu():
        copied: np.ndarray[Any, Any] = array.asnumpy()
        return copied
    array.wait_to_read()
    return view(array)
