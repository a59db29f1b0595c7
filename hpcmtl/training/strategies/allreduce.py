"""Synchronous data parallelism: gradients are aggregated over the group at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.collectives.local import LocalCollective
from hpcmtl.training.strategies.base import StrategyFacts
from hpcmtl.training.strategies.compressors import NoCompression
from hpcmtl.training.strategies.loss_scale import LossScale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import ArrayKind, Collective
    from hpcmtl.training.collectives.select import Choice
    from hpcmtl.training.learner import Learner, Which
    from hpcmtl.training.strategies.aggregators import Aggregator
    from hpcmtl.training.strategies.base import GradientsToReduce
    from hpcmtl.training.strategies.compressors import Compressor

LOSS_SCALE = "loss_scale"
COMPRESSOR = "compressor/"


@dataclass(frozen=True, kw_only=True)
class AllreduceParts:
    """Parts of an `AllreduceStrategy`.

    Attributes:
        choice: name of the collective and reason for it.
        collective: collective that is open on the group; closed by the strategy.
        compressor: compressor of the kind of arrays that the collective takes.
        compression: text on the compressor for the results.
        aggregator: aggregator of the compressed gradients.
        scales_loss: whether gradients need a loss scale, and steps that overflow are skipped.
    """

    choice: Choice
    collective: Collective
    compressor: Compressor
    compression: str
    aggregator: Aggregator
    scales_loss: bool


class AllreduceStrategy:
    """Aggregates gradients at each step, so that all replicas make the same update; see `SynchronisationStrategy`."""

    replicas_equal = True

    def __init__(self, group: Communicator, parts: AllreduceParts) -> None:
        self._group, self._parts = group, parts
        self._collective, self._compressor = parts.collective, parts.compressor
        self._kind = common_kind(parts.collective, parts.compressor)
        self._collective_kind: ArrayKind = "views" if parts.collective.takes == "views" else "native"
        self._scale = LossScale()
        # Nothing is asked of the learner then: a dense copy of sparse gradients is expensive.
        self._alone = isinstance(parts.collective, LocalCollective) and type(parts.compressor) is NoCompression
        self._scales_loss = parts.scales_loss

    @property
    def facts(self) -> StrategyFacts:
        """See `SynchronisationStrategy`."""
        choice = self._parts.choice
        return StrategyFacts(choice.name, choice.reason, self._parts.compression)

    @property
    def loss_scale(self) -> float | None:
        """See `SynchronisationStrategy`."""
        return self._scale.value if self._scales_loss else None

    def gradient_scale(self, global_samples: int) -> float:
        """See `SynchronisationStrategy`.

        The loss of a rank is its sum over the size of the WHOLE batch, times the number of ranks. The mean over the
        group is then the mean over the batch, even where the shares of the ranks differ in size.
        """
        return self._collective.size / global_samples * (self._scale.value if self._scales_loss else 1.0)

    @property
    def group(self) -> Communicator:
        """See `SynchronisationStrategy`."""
        return self._group

    def after_backward(self, learner: Learner, which: GradientsToReduce = "gradients") -> float | None:
        """See `SynchronisationStrategy`."""
        if not self._alone:
            self._reduce(learner, which)
        if not self._scales_loss:
            return 1.0
        rescale, finite = 1.0 / self._scale.value, self._all_finite(learner)
        self._scale = self._scale.after(finite)
        return rescale if finite else None

    def _reduce(self, learner: Learner, which: GradientsToReduce) -> None:
        """Aggregates gradients, and what belongs to them, over the group.

        The mean of the marks of touched rows is above 0 exactly where a rank has touched the row.
        """
        touched = arrays_of(learner, "touched_rows", self._kind)
        if touched:
            self._collective.mean(touched)
        gradients = arrays_of(learner, which, self._kind)
        compressed = self._compressor.compress(gradients)
        self._parts.aggregator.aggregate(self._collective, compressed)
        self._compressor.decompress(compressed, gradients)
        statistics = arrays_of(learner, "batch_statistics", self._collective_kind)
        if statistics:
            self._collective.mean(statistics)
            learner.take_batch_statistics()

    def after_step(self, learner: Learner, step: int) -> None:
        """See `SynchronisationStrategy`; the replicas are equal already."""

    def sum(self, array: np.ndarray[Any, Any]) -> None:
        """See `SynchronisationStrategy`."""
        self._group.Allreduce(array, "sum")

    def synchronise(self, learner: Learner) -> None:
        """See `SynchronisationStrategy`."""
        self._collective.broadcast(arrays_of(learner, "parameters", self._kind))

    def consolidate(self, learner: Learner) -> None:
        """See `SynchronisationStrategy`; the mean is taken of running statistics that are of each rank's own rows."""
        if not learner.traits.whole_batch_statistics:
            statistics = arrays_of(learner, "statistics", self._kind)
            if statistics:
                self._collective.mean(statistics)

    def state(self) -> Arrays:
        """See `SynchronisationStrategy`; the compressor's state has a row for each rank."""
        arrays = {LOSS_SCALE: np.array([self._scale.value, self._scale.good_steps])}
        mine = self._compressor.state()
        if mine:
            ranks = self._group.allgather(mine)
            arrays |= {COMPRESSOR + name: np.stack([each[name] for each in ranks]) for name in mine}
        return arrays

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `SynchronisationStrategy`.

        On a group of another size every rank gets the mean of the compressor's states, so that their mean stays.
        """
        value, good_steps = state.get(LOSS_SCALE, (LossScale().value, 0))
        self._scale = LossScale(float(value), int(good_steps))
        rows = {name.removeprefix(COMPRESSOR): array for name, array in state.items() if name.startswith(COMPRESSOR)}
        size, rank = self._group.size, self._group.rank
        self._compressor.load_state(
            {name: array[rank] if len(array) == size else array.mean(axis=0) for name, array in rows.items()}
        )

    def close(self) -> None:
        """See `SynchronisationStrategy`."""
        self._collective.close()

    def _all_finite(self, learner: Learner) -> bool:
        """Returns whether the gradients of every rank are finite, the same on all ranks (collective).

        Reduced gradients are nearly always the same everywhere. But a sum in another order may overflow on one rank
        alone, and ranks that disagree on skipping a step would wait for each other without end.
        """
        agreed = np.array([int(learner.gradients_finite())], dtype=np.int64)
        self._group.Allreduce(agreed, "min")
        return bool(agreed[0])


def common_kind(collective: Collective, compressor: Compressor) -> ArrayKind:
    """Returns the kind of arrays that a collective and a compressor both take; `native` is preferred.

    Raises:
        ValueError: there is no such kind.
    """
    kinds = {collective.takes, compressor.takes} - {"any"}
    if len(kinds) > 1:
        text = f"{collective.name} takes {collective.takes} arrays, {compressor.name} takes {compressor.takes}"
        raise ValueError(f"{text}: they do not work together")
    return kinds.pop() if kinds else "native"


def arrays_of(learner: Learner, which: Which, kind: ArrayKind) -> Sequence[Any]:
    """Returns arrays of a learner: numpy views, or native arrays, which are not waited for."""
    return list(learner.views(which).values()) if kind == "views" else learner.native(which)
