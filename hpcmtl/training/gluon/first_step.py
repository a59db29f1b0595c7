"""Comparison of one step with plain Gluon: compiled network with plain one, and our update with that of the trainer.

MXNet 1.9.1 gives 0.25 of the true gradient of `PReLU`'s slopes once the block is hybridised. A network whose Python
code asks whether it is in training keeps the answer of its first pass. Neither shows in the loss.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.array_difference import NOISE, largest_difference, largest_number
from hpcmtl.training.code_state import CodeState
from hpcmtl.training.coupled_rows import ROWS, SEEDS
from hpcmtl.training.gluon.attributes import is_kept_elsewhere
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.layout import view
from hpcmtl.training.gluon.optimizer import Updater, make_optimizer
from hpcmtl.training.gluon.parameters import is_statistic, named_parameters
from hpcmtl.training.gluon.random_numbers import seeded
from hpcmtl.training.gluon.zoo import outputs_of
from hpcmtl.training.parameter_groups import (
    GroupedUpdater,
    optimizer_groups,
    unkept_by_updates,
    without_effect,
)
from hpcmtl.training.parameter_names import ties
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.users_objects import state_of_optimizers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.parameter_groups import OptimizerGroup

mx = import_mxnet()

_NUMBERS = 4096  # numbers of an array that are compared, beside its norm; the cost is the same for any network
_UPDATE_CLOSE = 1e-5
_STREAMS = "the next random number of Python or numpy"
_COMPILED = "compiled (hybridised) by MXNet, {}: it runs without compilation, which is slower"
SLOPES_DIFFER = _COMPILED.format("the gradient of the slopes of `PReLU` is wrong for negative values")


def compilation_difference(loss: TrainingLoss, trained: Mapping[str, Any], batch: StepInput, *, may_draw: bool) -> str:
    """Returns the largest difference between the compiled network and the plain one; an empty text for none.

    Leaves the gradients of the compiled network behind. The caller restores running statistics.

    Args:
        loss: network and losses; compiled when it returns.
        trained: trained parameters by name.
        batch: a batch, of which the first rows are used.
        may_draw: whether network or losses may draw random numbers, in operators or in Python code.
    """
    inputs = batch.with_inputs(lambda each: each[:ROWS])
    few = StepInput(inputs, tuple(each[:ROWS] for each in batch.targets), batch.weights[:ROWS], ROWS)
    network = _Passes(loss, trained, few)
    seeds = SEEDS if may_draw else SEEDS[:1]
    plain = [network.plain(seed) for seed in seeds]
    # Twice: the Python code of a network runs in the first pass of the compiled one alone, and may draw numbers there.
    compiled = network.compiled(seeds)
    found = next(filter(None, map(largest_difference, compiled, plain)), "")
    if not found or not may_draw:
        return _COMPILED.format(found) if found else ""
    draws_in_python = largest_difference(_of_streams(compiled[1]), _of_streams(plain[1]))
    is_random = largest_difference(_without_streams(plain[1]), _without_streams(plain[0]))
    if is_random and not draws_in_python:  # compiled, it may draw in another order: without dropout it is the same
        expected = network.plain(SEEDS[0], train=False)
        network.compiled(SEEDS[:1])
        if not largest_difference(network.run(SEEDS[0], train=False), expected):
            return ""
    return _COMPILED.format(found)


def update_difference(
    block: Any, trained: Mapping[str, Any], optimizer: Optimizer, rate: float
) -> tuple[str, list[str]]:
    """Compares one of our updates with one of `gluon.Trainer`.

    Both update copies of the parameters' first rows, with the gradients that are there.

    Args:
        block: network.
        trained: parameters that we train, by name.
        optimizer: optimizer of the job.
        rate: learning rate.

    Returns:
        The largest difference; an empty text for none. Notes on the update.
    """
    copies, tied = _Copies(block, trained), ties(named_parameters(block))
    ours = {name: copies.of(parameter) for name, parameter in trained.items()}
    code = state_of_optimizers(optimizer)

    def plain_changes(seed: int) -> Arrays:
        changes = copies.changes(lambda: _plain_update(copies, trained, optimizer, rate, tied), seed)
        code.restore()
        return changes

    expected = plain_changes(SEEDS[0])
    updater = GroupedUpdater(ours, optimizer, Updater, tied)
    remembered = CodeState(updater.optimizers, is_kept_elsewhere)
    found = copies.changes(lambda: updater.update(rate, 1.0), SEEDS[0])
    notes = unkept_by_updates(remembered.restore(), "as an attribute of the optimizer")
    notes += without_effect(expected, (first_rows(each.grad()) for each in copies.parameters), rate)
    code.restore()
    noise = NOISE * largest_number(copies.values.values())
    bounds = {name: _UPDATE_CLOSE * largest_number([change]) + noise for name, change in expected.items()}
    text = largest_difference(found, expected, bounds)
    if not text or largest_difference(plain_changes(SEEDS[1]), expected, bounds):
        return "", notes  # no difference, or an optimizer that draws random numbers
    return f"an update by {optimizer.name} is not that of gluon.Trainer: the change of {text}", notes


def _plain_update(
    copies: _Copies, trained: Mapping[str, Any], optimizer: Optimizer, rate: float, tied: list[tuple[str, ...]]
) -> None:
    """Updates the copies by a trainer for each group of the optimizer."""
    others, (first, *groups) = list(copies.parameters), optimizer_groups(optimizer, trained, tied)
    for group in groups:
        mine = [copies.of(trained[name]) for name in group.names]
        others = [each for each in others if all(each is not other for other in mine)]
        if mine:
            _plain_trainer(mine, group, rate)
    if others:
        _plain_trainer(others, first, rate)


def _plain_trainer(parameters: list[Any], group: OptimizerGroup, rate: float) -> None:
    made = make_optimizer(group.optimizer)
    trainer, remembered = mx.gluon.Trainer(parameters, made, kvstore=None), CodeState([made], is_kept_elsewhere)
    trainer.set_learning_rate(rate * group.factor)
    trainer.step(1, ignore_stale_grad=True)  # of parameters that no output depends on
    remembered.restore()


class _Copies:
    """Parameters of their own with the first rows of a network's trained ones, and of their gradients.

    Attributes:
        parameters: the copies, in the order of the learner's updates, which those of a random optimizer depend on.
        values: rows of the parameters by name.
    """

    def __init__(self, block: Any, trained: Mapping[str, Any]) -> None:
        names = {id(parameter): name for name, parameter in trained.items()}
        plain = {id(each): each for each in block.collect_params().values() if each.grad_req != "null"}
        order = [*(key for key in names if key in plain), *(key for key in plain if key not in names)]
        mx.nd.waitall()
        self.values = {names.get(key, plain[key].name): first_rows(plain[key].data()) for key in order}
        self._gradients = [first_rows(plain[key].grad()) for key in order]
        self._fresh = [plain[key].data()._fresh_grad for key in order]  # noqa: SLF001 - whether a backward pass reaches it
        self.parameters = [
            _parameter_like(plain[key], rows) for key, rows in zip(order, self.values.values(), strict=True)
        ]
        self._by_key = dict(zip(order, self.parameters, strict=True))

    def of(self, parameter: Any) -> Any:
        """Returns the copy of a parameter."""
        return self._by_key[id(parameter)]

    def changes(self, update: Callable[[], None], seed: int) -> Arrays:
        """Returns the change of each copy by an update from the values of the network, by name."""
        mx.nd.waitall()
        entries = zip(self.parameters, self.values.values(), self._gradients, self._fresh, strict=True)
        for copy, values, gradient, fresh in entries:
            _write(copy.data(), values)
            _write(copy.grad(), gradient)
            copy.data()._fresh_grad = fresh  # noqa: SLF001 - as above; the trainer leaves the others as they are
        with seeded(seed):
            update()
        mx.nd.waitall()
        pairs = zip(self.values.items(), self.parameters, strict=True)
        return {name: first_rows(copy.data()) - values for (name, values), copy in pairs}


@contextmanager
def restored(arrays: Sequence[Any]) -> Iterator[None]:
    """Restores arrays after the block."""
    mx.nd.waitall()
    kept = [view(array).copy() for array in arrays]
    try:
        yield
    finally:
        mx.nd.waitall()
        for array, values in zip(arrays, kept, strict=True):
            view(array)[...] = values


class _Passes:
    """Passes of a network over one batch, each from the same running statistics and random numbers."""

    def __init__(self, loss: TrainingLoss, trained: Mapping[str, Any], batch: StepInput) -> None:
        self._loss, self._trained, self._batch = loss, trained, batch
        parameters = loss.block.collect_params().values()
        self._fixed = [each.data() for each in parameters if is_statistic(each) or each.grad_req == "null"]
        self._convolved = [each.data() for each in parameters if len(each.shape) > 2]

    def plain(self, seed: int, *, train: bool = True) -> Arrays:
        """Returns what a pass operation by operation gives, by names for a message."""
        self._loss.compile(active=False)
        return self.run(seed, train=train)

    def compiled(self, seeds: Sequence[int]) -> list[Arrays]:
        """Returns what passes of the network give, which is compiled in the first of them, in training."""
        self._loss.compile(active=True)
        return [self.run(seed) for seed in seeds]

    def run(self, seed: int, *, train: bool = True) -> Arrays:
        """Returns what a pass of the network as it is gives, with dropout or without."""
        weights = [1.0] * self._loss.count
        self._loss.clear()
        with restored(self._fixed), seeded(seed):
            losses = self._loss.backward(self._batch, weights, 1.0, train=train)
            mx.nd.waitall()
            found = {f"the loss of objective {n}": _sample(loss) for n, loss in enumerate(losses)}
            found |= {f"the gradient of {name}": _sample(each.grad()) for name, each in self._trained.items()}
            found[f"{_STREAMS} after training"] = _next_numbers()
        with restored(self._fixed), seeded(seed):
            outputs = outputs_of(self._loss.block, self._loss.samples(self._batch.inputs))
            mx.nd.waitall()
            found |= {f"output {number} in inference": _sample(output) for number, output in enumerate(outputs)}
            found[f"{_STREAMS} after inference"] = _next_numbers()
        for array in self._convolved:
            view(array)  # restores its default layout
        return found


def _next_numbers() -> np.ndarray[Any, Any]:
    """Returns the next number of each stream that users' Python code may have drawn from."""
    return np.array([random.random(), np.random.random()])  # noqa: NPY002 - as above


def _of_streams(found: Arrays) -> Arrays:
    return {name: each for name, each in found.items() if name.startswith(_STREAMS)}


def _without_streams(found: Arrays) -> Arrays:
    return {name: each for name, each in found.items() if not name.startswith(_STREAMS)}


def _dense(array: Any) -> np.ndarray[Any, Any]:
    """Returns a view of a dense array, or a dense copy of another one; the caller has waited for it."""
    return view(array) if array.stype == "default" else np.asarray(array.asnumpy())


def first_rows(array: Any) -> np.ndarray[Any, Any]:
    """Returns a copy of the first rows of an array."""
    dense = _dense(array)
    width = max(dense.size // max(len(dense), 1), 1)
    return dense[: max(_NUMBERS // width, 1)].copy()


def _sample(array: Any) -> np.ndarray[Any, Any]:
    """Returns numbers of an array, and its norm."""
    return np.append(first_rows(array).ravel(), np.linalg.norm(_dense(array))).astype(np.float64)


def _write(array: Any, values: np.ndarray[Any, Any]) -> None:
    """Writes to an array of any storage type that nothing uses."""
    if array.stype == "default":
        view(array)[...] = values
    else:
        mx.nd.array(values, dtype=values.dtype).tostype(array.stype).copyto(array)


def _parameter_like(parameter: Any, values: np.ndarray[Any, Any]) -> Any:
    """Returns a parameter with the shape of some rows and with the options of another one."""
    made = mx.gluon.Parameter(
        parameter.name,
        shape=values.shape,
        dtype=values.dtype,
        lr_mult=parameter.lr_mult,
        wd_mult=parameter.wd_mult,
        grad_stype=parameter.grad().stype,
    )
    # `initialize` takes ten operations for each parameter.
    made._init_impl(mx.nd.empty(values.shape, dtype=values.dtype), [mx.cpu()])  # noqa: SLF001 - see above
    return made
