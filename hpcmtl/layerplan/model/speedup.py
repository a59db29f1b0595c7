"""How long a task takes on a number of ranks: from what was measured, and before that from its size.

Tasks of one family run the same steps: the same kind, network size, row and batch. Times come, in this order, from the
median of the family's steps on just so many ranks; from a fit of the family (`stepform`); and where nothing was
measured, from the size of a step and from how far other families were from theirs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.layerplan.model.machine import ONE_NODE
from hpcmtl.layerplan.model.step_time_model import Parameters, Posterior, Shapes, fit, log_seconds, prior, uncertainty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcmtl.arrays import Bools, Floats, Ints
    from hpcmtl.layerplan.model.machine import Machine
    from hpcmtl.taskgraph.graph import TaskNode

# What small Gluon networks do on one CPU core a rank: until steps were measured, it decides how wide tasks are.
LAYER_SECONDS = 0.04  # s a layer: command, communicator, engine, first step (measured: 35-43 ms)
STEP_SECONDS = 2e-3  # s a step: Python, operator dispatch, optimizer (measured: 2 ms of a small mlp, 7 of a convnet)
PRODUCT_FLOPS = 80e9  # operations a second of a matrix product on one core, where nobody has measured it
TRAINED_PART = 0.25  # of these, in the training of small convolutional networks (measured: 0.11 to 0.33)
APPLIED_PART = 0.6  # and forward alone (measured: 0.4 to 1)
# A step costs as much as if it had so many rows more (measured: 25 to 40, between steps of 64 and of 32 rows): few rows
# do not fill what a core could do, and so two ranks that share a batch take two thirds of the time, not half of it.
EXTRA_ROWS = 32
TRAIN_FLOPS = 6  # operations a multiplication of one sample: multiply and add, forward and twice backward
APPLY_FLOPS = 2  # operations a multiplication, forward alone
READ_SECONDS = 1e-9  # s a byte of input
ROUND_SECONDS = 7e-4  # s a round of the allreduce: Horovod looks for gradients once in 1 ms (measured: 0.6 to 0.8 ms)
WIRE_SECONDS = 1e-9  # s a byte of gradient between ranks
GRADIENT_BYTES = 4  # bytes a parameter
ACROSS = 1.1  # how much longer a round takes between nodes
OVERLAP = 0.1  # hardly any of small gradients
PYTHON_SECONDS = 1.0  # s of a user's callable beyond reading its input: nothing is known of it

SPREAD = Parameters(0.7, 0.7, 1.0, 1.0, 1.0, 1.0, 0.5)  # of the logarithms of what the constants predict
MEASURED_SPREAD = 0.1  # of a layer's mean step from another layer's on the same ranks
MISFIT_SPREAD = 0.05  # of the form from the median of many layers
P90 = 1.2816  # standard deviations of a normal distribution, above which one in ten lies


class Family(NamedTuple):
    """What tasks have in common whose steps take the same time.

    Attributes:
        kind: task kind.
        parameters: trainable scalars.
        multiplications: to run one row forward.
        sample_bytes: bytes of one row that it reads.
        batch_size: rows of one step, over the group if it trains.
        name: of the task, for a callable of which nothing else is known; else empty.
    """

    kind: str
    parameters: int
    multiplications: int
    sample_bytes: int
    batch_size: int
    name: str = ""

    @property
    def trains(self) -> bool:
        """Whether the group shares each batch and combines gradients after it."""
        return self.kind in {"train", "joint"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One layer as it ran.

    Attributes:
        family: of its task.
        ranks: of its group.
        nodes: that its group spanned.
        contention: ranks of its group for each core.
        rows: of the fullest rank in a step.
        steps: that it had.
        step_seconds: mean of a step.
        seconds: of the whole layer, from its start to the last rank's report.
    """

    family: Family
    ranks: int
    nodes: int
    contention: float
    rows: float
    steps: int
    step_seconds: float
    seconds: float


class Prediction(NamedTuple):
    """Seconds of a whole task at each of K widths, all layers and passes.

    Attributes:
        seconds: (K,) expected.
        late: (K,) that it takes longer than in one case out of ten.
        measured: (K,) whether layers of its family were measured at that width.
        layers: number of layers of its family that were measured at any.
    """

    seconds: Floats
    late: Floats
    measured: Bools
    layers: int


class _Beside(NamedTuple):
    """What layers on some ranks of some nodes took beside the fit (logarithm), and how crowded they were."""

    ranks: int
    nodes: int
    contention: float
    beside: float
    layers: int


class _Known(NamedTuple):
    """What is known of a family.

    Attributes:
        posterior: of its steps.
        beside: how far measured numbers of ranks are from it; see `_beside`.
        start: seconds of a layer beside its steps.
        layers: that were measured.
    """

    posterior: Posterior
    beside: tuple[_Beside, ...]
    start: float
    layers: int


class Speedups:
    """Predicts times from some measurements."""

    def __init__(self, measurements: Iterable[Measurement] = (), machine: Machine = ONE_NODE) -> None:
        self.machine = machine
        self._measured: dict[Family, list[Measurement]] = defaultdict(list)
        for each in measurements:  # a callable is as slow on any ranks
            counted = replace(each, ranks=1, nodes=1, contention=1, rows=0) if each.family.kind == "python" else each
            self._measured[each.family].append(counted)
        self._known: dict[Family, _Known] = {}

    def seconds(self, task: TaskNode, widths: Ints) -> Floats:
        """(K,) expected seconds of a task, as `predict` gives them with what is known about them."""
        known = self._of(family_of(task))
        steps, shapes = _steps_of(task, widths, self.machine)
        contention, beside = shapes.contention.copy(), np.zeros(len(widths))
        for each in known.beside:
            here = (shapes.ranks == each.ranks) & (shapes.nodes == each.nodes)
            contention[here], beside[here] = each.contention, each.beside
        logarithms = log_seconds(known.posterior.mean, shapes._replace(contention=contention)) + beside
        seconds: Floats = task.layers * known.start + steps * np.exp(logarithms)
        return seconds

    def predict(self, task: TaskNode, widths: Ints) -> Prediction:
        """Predict a task's times on the machine.

        A `python` task is taken to be as slow on many ranks as on one. Other times need not fall with the width: a
        small batch on many ranks is all latency.

        Args:
            task: to predict.
            widths: (K,) numbers of ranks.
        """
        known = self._of(family_of(task))
        spread = uncertainty(known.posterior, shapes := _steps_of(task, widths, self.machine)[1])
        measured = np.zeros(len(widths), dtype=np.bool_)
        for each in known.beside:
            here = (shapes.ranks == each.ranks) & (shapes.nodes == each.nodes)
            spread[here] = _spread(each.layers)
            measured |= here
        seconds, start = self.seconds(task, widths), task.layers * known.start
        return Prediction(seconds, start + (seconds - start) * np.exp(P90 * spread), measured, known.layers)

    def _of(self, family: Family) -> _Known:
        """What is known of a family, worked out once."""
        if family not in self._known:
            layers = self._measured.get(family, [])
            posterior = self._belief(family, layers)
            self._known[family] = _Known(posterior, tuple(_beside(posterior, layers)), self._start(family), len(layers))
        return self._known[family]

    def _start(self, family: Family) -> float:
        """Seconds of a layer beside its steps: a mean over the family's, over all, or a guess."""
        known = self._measured.get(family) or [each for some in self._measured.values() for each in some]
        beside = [max(each.seconds - each.steps * each.step_seconds, 0.0) for each in known]
        return float(np.mean(beside)) if beside else LAYER_SECONDS

    def _belief(self, family: Family, known: Sequence[Measurement]) -> Posterior:
        before = expected(family, self.machine.flops)
        if family.kind != "python":
            before = Posterior(before.mean + self._shift, before.covariance)
        return _fitted(before, known) if known else before

    @cached_property
    def _shift(self) -> Floats:
        """(7,) how far families are from what their sizes say, each counted by how much its measurements tell of it."""
        moved, weight = np.zeros(len(SPREAD)), np.ones(len(SPREAD))
        for family, known in self._measured.items():
            if family.kind != "python":
                before = expected(family, self.machine.flops)
                after = _from_size(family, tuple(known), self.machine.flops)
                told = 1 - after.covariance.diagonal() / before.covariance.diagonal()
                moved += told * (after.mean - before.mean)
                weight += told
        shift: Floats = moved / weight
        return shift


def family_of(task: TaskNode) -> Family:
    """The family of a task."""
    work = task.work
    name = task.name if task.kind == "python" else ""
    multiplications = max(work.multiplications, work.parameters)  # one a parameter, where nothing better is known
    return Family(task.kind, work.parameters, multiplications, work.sample_bytes, work.batch_size, name)


def expected(family: Family, flops: float = 0.0) -> Posterior:
    """What the size of a family's steps says of them, on ranks of so many `Machine.flops`."""
    product = 1 / (flops or PRODUCT_FLOPS)
    row = family.sample_bytes * READ_SECONDS
    if family.kind == "python":
        known = Parameters(PYTHON_SECONDS + row * family.batch_size, 0, 0, 0, 0, 0, OVERLAP)
    elif family.trains:
        wire = family.parameters * GRADIENT_BYTES * WIRE_SECONDS
        computing = family.multiplications * TRAIN_FLOPS * product / TRAINED_PART
        fixed, row = STEP_SECONDS + EXTRA_ROWS * computing, row + computing
        known = Parameters(fixed, row, ROUND_SECONDS, wire, ROUND_SECONDS * ACROSS, wire, OVERLAP)
    else:
        row += family.multiplications * APPLY_FLOPS * product / APPLIED_PART
        known = Parameters(STEP_SECONDS, row, 0, 0, 0, 0, OVERLAP)
    return prior(known, SPREAD)


def _steps_of(task: TaskNode, widths: Ints, machine: Machine) -> tuple[Floats, Shapes]:
    """Steps of a task (K,), and on what they run."""
    work, ranks = task.work, np.asarray(widths, dtype=np.float64)
    one = np.ones(len(ranks))
    nodes, contention = np.ceil(ranks / machine.node) if machine.node else one, machine.contention(ranks)
    if task.kind == "python":
        return one, Shapes(one, one, 0 * one, one)
    if work.trains:
        rows = np.ceil(min(work.batch_size, work.samples) / ranks)
        return work.steps * one, Shapes(ranks, nodes, rows, contention)
    # The group shares the rows once; each rank runs its own batches and waits for nobody.
    rows = np.ceil(work.samples / ranks)
    steps = np.ceil(rows / work.batch_size)
    return steps, Shapes(ranks, nodes, rows / np.maximum(steps, 1), contention)


@lru_cache(maxsize=1024)
def _from_size(family: Family, known: tuple[Measurement, ...], flops: float) -> Posterior:
    """What measurements add to the size of a family's steps; kept, for a job predicts again and again."""
    return _fitted(expected(family, flops), known)


def _fitted(before: Posterior, known: Sequence[Measurement]) -> Posterior:
    groups: dict[tuple[float, ...], list[float]] = defaultdict(list)
    for each in known:
        groups[_shape(each)].append(each.step_seconds)
    shapes = Shapes(*np.array(list(groups), dtype=np.float64).T)
    medians = np.array([np.median(seconds) for seconds in groups.values()])
    return fit(before, shapes, medians, np.array([_spread(len(seconds)) for seconds in groups.values()]))


def _beside(posterior: Posterior, known: Sequence[Measurement]) -> Iterator[_Beside]:
    """For each number of ranks and nodes by how much the median is beside the fit.

    If all the steps are of one size, the fit and this together are the median, however crowded ranks are now: what a
    probe says of that varies from run to run, what layers took counts for more.
    """
    groups: dict[tuple[int, int], list[Measurement]] = defaultdict(list)
    for each in known:
        groups[each.ranks, each.nodes].append(each)
    for (ranks, nodes), some in groups.items():
        shapes = Shapes(*np.array([_shape(each) for each in some]).T)
        rest = np.log([each.step_seconds for each in some]) - log_seconds(posterior.mean, shapes)
        contention = float(np.median([each.contention for each in some]))
        yield _Beside(ranks, nodes, contention, float(np.median(rest)), len(some))


def _shape(measured: Measurement) -> tuple[float, ...]:
    return measured.ranks, measured.nodes, measured.rows, measured.contention


def _spread(count: int) -> float:
    """Standard deviation of the logarithm of a median of some layers."""
    return float(np.hypot(MISFIT_SPREAD, MEASURED_SPREAD / np.sqrt(count)))
