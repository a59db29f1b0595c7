"""Gradients of each objective by itself: a backward pass for each, after one forward pass where that is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.layout import view
from hpcmtl.training.gluon.parameters import is_statistic
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
    """Rows of gradients by the shared parameters, one or more an objective.

    Attributes:
        private: names of the parameters that only one objective depends on.
        shared_parameters: the parameters that several objectives depend on.
        statistics: NDArrays that MXNet updates in each backward pass, such as running means.
    """

    def __init__(self, block: Any, trained: Mapping[str, Any], reached: Sequence[frozenset[str]]) -> None:
        """Takes a network, its trained parameters by name, and for each loss the names of those that it depends on.

        Raises:
            InputError: the gradients of a parameter are sparse.
        """
        sparse = [name for name, parameter in trained.items() if is_row_sparse(parameter)]
        if sparse:
            text = f"the gradients of {', '.join(sparse)} are sparse, and this weighting compares whole gradients"
            raise InputError([Problem("weighting", f"{text}: leave `sparse_grad` out")])
        self.statistics = [each.data() for each in block.collect_params().values() if is_statistic(each)]
        shared = shared_names(trained, reached)
        self.private = tuple(name for name in trained if name not in shared)
        self.shared_parameters = [trained[name] for name in shared]
        self._private = [[trained[name] for name in self.private if name in names] for names in reached]
        # Gradients of each row and objective: later passes overwrite those of the parameters, private ones by 0.
        self._of_rows: list[list[Any]] = []
        self._own = [[mx.nd.zeros_like(each.grad()) for each in own] for own in self._private]

    def backward(
        self, passes: Callable[[int], list[Any]], loss: TrainingLoss, of_objective: int = 1, *, add: bool
    ) -> Iterator[list[Any]]:
        """Runs the pass of each row, and yields its losses when all is handed to MXNet's engine.

        Args:
            passes: function that runs the backward pass of a row, and returns the losses of all objectives.
            loss: network and losses.
            of_objective: number of rows of an objective.
            add: whether the rows have sums of other parts already.
        """
        while len(self._of_rows) < len(self._private) * of_objective:
            self._of_rows.append([mx.nd.zeros_like(each.grad()) for each in self.shared_parameters])
        for row in range(len(self._private) * of_objective):
            number, share = divmod(row, of_objective)
            loss.clear()
            losses = passes(row)
            _take(self.shared_parameters, self._of_rows[row], add=add)
            _take(self._private[number], self._own[number], add=add or share > 0)
            yield losses

    def wait(self, row: int, rows: np.ndarray[Any, Any]) -> int:
        """Waits for the gradients of a row, copies them to it, and returns its number."""
        start = 0
        for taken in self._of_rows[row]:
            rows[row, start : start + taken.size] = values_of(taken).ravel()
            start += taken.size
        return row

    @property
    def compared(self) -> bool:
        """Returns whether there are shared parameters."""
        return bool(self.shared_parameters)

    def multiply_private(self, factors: Sequence[float]) -> None:
        """Multiplies the gradients of the parameters of each objective alone by a factor."""
        for own, factor in zip(self._private, factors, strict=True):
            for parameter in own:
                gradient = parameter.grad()
                gradient *= factor

    def finish(self) -> None:
        """Gives the private parameters the gradients of their objectives."""
        for own, taken in zip(self._private, self._own, strict=True):
            for parameter, gradient in zip(own, taken, strict=True):
                gradient.copyto(parameter.grad())


def passes_of(
    loss: TrainingLoss, shares: Sequence[StepInput], factors: Sequence[float], keep: Sequence[Any], seed: int | None
) -> Callable[[int], list[Any]]:
    """Returns a function that runs the backward pass of a row by its number, in order.

    There is one forward pass. Only where a pass draws random numbers has each row one of its own, with the same
    numbers: over one retained graph mxnet 1.9.1 gives wrong gradients for dropout, which from the second pass on belong
    to another mask (measured with and without `hybridize`).

    Args:
        loss: network and losses.
        shares: this rank's share of the batch, or a part of it, with the weights of each row of an objective.
        factors: factor on the losses of each objective.
        keep: NDArrays that a pass changes and that count one pass alone; those of backward passes if nothing is drawn.
        seed: seed of the random numbers of the step; None if none are drawn.
    """
    rows, before, forward = len(factors) * len(shares), list[Any](), list[list[Any]]()

    def run(row: int) -> list[Any]:
        number, share = divmod(row, len(shares))
        if seed is not None:
            kept(keep, before)
            seed_all(seed)
        if not forward or seed is not None:
            forward[:] = [loss.forward(shares[0])]
        if seed is None:
            kept(keep, before)
        chosen = [factor if each == number else 0.0 for each, factor in enumerate(factors)]
        loss.backward_from(forward[0], shares[share], chosen, retain_graph=seed is None and row + 1 < rows)
        return forward[0]

    return run


def kept(arrays: Sequence[Any], before: list[Any]) -> None:
    """Overwrites arrays by what they were at the first call, which is kept."""
    if not before:
        before[:] = [array.copy() for array in arrays]
    for array, old in zip(arrays, before, strict=True):
        old.copyto(array)


def _take(parameters: Sequence[Any], taken: Sequence[Any], *, add: bool) -> None:
    """Copies the gradients of parameters to other arrays, or adds them."""
    for parameter, array in zip(parameters, taken, strict=True):
        gradient = parameter.grad()
        (array + gradient if add else gradient).copyto(array)


def values_of(array: Any) -> np.ndarray[Any, Any]:
    """Returns the values of an NDArray, on the host without a copy; waits for them."""
    if array.context != mx.cpu():
        copied: np.ndarray[Any, Any] = array.asnumpy()
        return copied
    array.wait_to_read()
    return view(array)
