"""Prediction of the time of a task on a number of ranks, from measurements and otherwise from its size.

Tasks of one family run the same steps: the same kind, network size, row and batch. The prediction uses, in this order:
the median of the family's steps on the same number of ranks; a fit of the family (`step_time_model`); for an unmeasured
family, the size of a step, corrected by the deviation of other families from their sizes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.layerplan.model.family import LAYER_SECONDS, SPREAD, Family, expected, family_of
from hpcmtl.layerplan.model.machine import ONE_NODE
from hpcmtl.layerplan.model.step_time_model import Posterior, Shapes, fit, log_seconds, uncertainty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcmtl.arrays import Bools, Floats, Ints
    from hpcmtl.layerplan.model.machine import Machine
    from hpcmtl.taskgraph.graph import TaskNode

MEASURED_SPREAD = 0.1  # relative deviation between the mean steps of two layers on the same ranks
MISFIT_SPREAD = 0.05  # relative deviation of the model from the median of many layers
P90 = 1.2816  # 90th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Measurement:
    """Holds the measured times of one task layer.

    Attributes:
        family: family of the task.
        ranks: number of ranks of the group.
        nodes: number of nodes that the group spanned.
        contention: ranks of the group per core.
        rows: rows of the fullest rank in a step.
        steps: number of steps.
        step_seconds: mean seconds per step.
        seconds: seconds of the whole layer, from its start to the last rank's report.
    """

    family: Family
    ranks: int
    nodes: int
    contention: float
    _: KW_ONLY
    rows: float
    steps: int
    step_seconds: float
    seconds: float


class Prediction(NamedTuple):
    """Holds predicted seconds of a whole task at each of K widths, over all layers and passes.

    Attributes:
        seconds: (K,) expected time.
        late: (K,) 90th percentile of the time (P90).
        measured: (K,) True for widths at which layers of the family were measured.
        layers: number of measured layers of the family.
    """

    seconds: Floats
    late: Floats
    measured: Bools
    layers: int


class _Residual(NamedTuple):
    """Holds the deviation of measured layers on some ranks of some nodes from the fit.

    Attributes:
        ranks: number of ranks of the group.
        nodes: number of nodes that the group spanned.
        contention: median contention of the layers.
        residual: median of the logarithms of measured over fitted seconds per step.
        layers: number of layers.
    """

    ranks: int
    nodes: int
    contention: float
    residual: float
    layers: int


class _FamilyModel(NamedTuple):
    """Holds the fitted model of a family.

    Attributes:
        posterior: distribution of the step parameters.
        residuals: deviations of the measured numbers of ranks; see `_residuals`.
        start: seconds of a layer outside its steps.
        layers: number of measured layers.
    """

    posterior: Posterior
    residuals: tuple[_Residual, ...]
    start: float
    layers: int


class Speedups:
    """Predicts times of tasks from measurements and a machine."""

    def __init__(self, measurements: Iterable[Measurement] = (), machine: Machine = ONE_NODE) -> None:
        self.machine = machine
        self._measured: dict[Family, list[Measurement]] = defaultdict(list)
        for each in measurements:  # a callable takes the same time on any ranks
            counted = replace(each, ranks=1, nodes=1, contention=1, rows=0) if each.family.opaque else each
            self._measured[each.family].append(counted)
        self._models: dict[Family, _FamilyModel] = {}

    def seconds(self, task: TaskNode, widths: Ints) -> Floats:
        """Returns (K,) expected seconds of a task at some widths, as `predict` does."""
        known = self._of(family_of(task))
        steps, shapes = _steps_of(task, widths, self.machine)
        contention, residual = shapes.contention.copy(), np.zeros(len(widths))
        for each in known.residuals:
            here = (shapes.ranks == each.ranks) & (shapes.nodes == each.nodes)
            contention[here], residual[here] = each.contention, each.residual
        logarithms = log_seconds(known.posterior.mean, shapes._replace(contention=contention)) + residual
        seconds: Floats = task.layers * known.start + steps * np.exp(logarithms)
        return seconds

    def predict(self, task: TaskNode, widths: Ints) -> Prediction:
        """Predicts a task's times on the machine.

        A `python` task is assumed to take the same time on many ranks as on one. Other times need not decrease with the
        width: a small batch on many ranks is dominated by latency.

        Args:
            task: the task.
            widths: (K,) numbers of ranks.
        """
        known = self._of(family_of(task))
        spread = uncertainty(known.posterior, shapes := _steps_of(task, widths, self.machine)[1])
        measured = np.zeros(len(widths), dtype=np.bool_)
        for each in known.residuals:
            here = (shapes.ranks == each.ranks) & (shapes.nodes == each.nodes)
            spread[here] = _spread(each.layers)
            measured |= here
        seconds, start = self.seconds(task, widths), task.layers * known.start
        return Prediction(seconds, start + (seconds - start) * np.exp(P90 * spread), measured, known.layers)

    def _of(self, family: Family) -> _FamilyModel:
        """Returns the model of a family, fitted once."""
        if family not in self._models:
            layers = self._measured.get(family, [])
            posterior = self._posterior(family, layers)
            residuals = tuple(_residuals(posterior, layers))
            self._models[family] = _FamilyModel(posterior, residuals, self._start(family), len(layers))
        return self._models[family]

    def _start(self, family: Family) -> float:
        """Returns seconds of a layer outside its steps: mean of the family, mean of all families, or a constant."""
        known = self._measured.get(family) or [each for some in self._measured.values() for each in some]
        outside = [max(each.seconds - each.steps * each.step_seconds, 0.0) for each in known]
        return float(np.mean(outside)) if outside else LAYER_SECONDS

    def _posterior(self, family: Family, known: Sequence[Measurement]) -> Posterior:
        before = expected(family, self.machine)
        if not family.opaque:
            before = Posterior(before.mean + self._shift, before.covariance)
        return _fitted(before, known) if known else before

    @cached_property
    def _shift(self) -> Floats:
        """(7,) mean deviation of families from their sizes, weighted by the information in their measurements."""
        moved, weight = np.zeros(len(SPREAD)), np.ones(len(SPREAD))
        for family, known in self._measured.items():
            if not family.opaque:
                before = expected(family, self.machine)
                after = _from_size(family, tuple(known), self.machine.rates)
                information = 1 - after.covariance.diagonal() / before.covariance.diagonal()
                moved += information * (after.mean - before.mean)
                weight += information
        shift: Floats = moved / weight
        return shift


def _steps_of(task: TaskNode, widths: Ints, machine: Machine) -> tuple[Floats, Shapes]:
    """Returns the number of steps of a task (K,) and their conditions, at some widths."""
    work, ranks = task.work, np.asarray(widths, dtype=np.float64)
    one = np.ones(len(ranks))
    nodes, contention = np.ceil(ranks / machine.node) if machine.node else one, machine.contention(ranks)
    if work.opaque:
        return one, Shapes(one, one, 0 * one, one)
    if work.trains:
        rows = np.ceil(min(work.batch_size, work.samples) / ranks)
        return work.steps * one, Shapes(ranks, nodes, rows, contention)
    # The group shares the rows once; each rank runs its own batches without waiting for the others.
    rows = np.ceil(work.samples / ranks)
    steps = np.ceil(rows / work.batch_size)
    return steps, Shapes(ranks, nodes, rows / np.maximum(steps, 1), contention)


@lru_cache(maxsize=1024)
def _from_size(family: Family, known: tuple[Measurement, ...], rates: Machine) -> Posterior:
    """Returns the posterior with the size of the steps as prior; cached, because a job predicts again and again."""
    return _fitted(expected(family, rates), known)


def _fitted(before: Posterior, known: Sequence[Measurement]) -> Posterior:
    groups: dict[tuple[float, ...], list[float]] = defaultdict(list)
    for each in known:
        groups[_shape(each)].append(each.step_seconds)
    shapes = Shapes(*np.array(list(groups), dtype=np.float64).T)
    medians = np.array([np.median(seconds) for seconds in groups.values()])
    return fit(before, shapes, medians, np.array([_spread(len(seconds)) for seconds in groups.values()]))


def _residuals(posterior: Posterior, known: Sequence[Measurement]) -> Iterator[_Residual]:
    """Yields the deviation of the median from the fit for each number of ranks and nodes.

    If all steps have one size, fit plus residual is the median, independent of the contention now: probed contention
    varies from run to run, and measured layers are more reliable.
    """
    groups: dict[tuple[int, int], list[Measurement]] = defaultdict(list)
    for each in known:
        groups[each.ranks, each.nodes].append(each)
    for (ranks, nodes), some in groups.items():
        shapes = Shapes(*np.array([_shape(each) for each in some]).T)
        rest = np.log([each.step_seconds for each in some]) - log_seconds(posterior.mean, shapes)
        contention = float(np.median([each.contention for each in some]))
        yield _Residual(ranks, nodes, contention, float(np.median(rest)), len(some))


def _shape(measured: Measurement) -> tuple[float, ...]:
    return measured.ranks, measured.nodes, measured.rows, measured.contention


def _spread(count: int) -> float:
    """Returns the standard deviation of the logarithm of a median over `count` layers."""
    return float(np.hypot(MISFIT_SPREAD, MEASURED_SPREAD / np.sqrt(count)))
