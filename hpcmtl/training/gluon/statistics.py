"""Running statistics of batch normalisation on a group: those of the whole batch, from the shares of the ranks.

A rank's batch normalisation computes mean and variance of the rank's own rows. With w the number of a rank's rows by
that of the batch, m its mean, v its variance, and c any value that all ranks have, the whole batch has the mean
M = sum(w m) and the variance sum(w (v + (m - c)^2)) - (M - c)^2. Here c is the running mean, so that little is lost to
rounding. A rank without samples has w = 0: its filler row counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.training.gluon.graph import BatchNormNode

mx = import_mxnet()


class BatchStatistics:
    """Replaces what a training pass did to the running statistics of one rank by what the whole batch does.

    Attributes:
        usable: whether all running statistics are of batch normalisations, so that they can be computed here.
        shares: this rank's part of the sums over the group, times the number of ranks; empty between steps.
    """

    def __init__(self, parameters: Mapping[str, Any], normalisations: Sequence[BatchNormNode]) -> None:
        """Takes the running statistics.

        Args:
            parameters: running statistics that training updates, by the names of the network.
            normalisations: batch normalisations of its graph.
        """
        arrays = {parameter.name: parameter.data() for parameter in parameters.values()}
        own = [node for node in normalisations if node.mean in arrays and node.variance in arrays]
        names = [node.mean for node in own] + [node.variance for node in own]
        # Statistics that something else changes as well, or twice a step, cannot be recomputed.
        self.usable = bool(own) and sorted(names) == sorted(arrays) and all(node.momentum < 1 for node in own)
        self.usable = self.usable and all(array.dtype == np.float32 for array in arrays.values())
        self._means, self._variances = [arrays[node.mean] for node in own], [arrays[node.variance] for node in own]
        self._old: tuple[Any, Any] | None = None
        self.shares: list[Any] = []
        if self.usable:
            momenta = [mx.nd.ones_like(mean) * node.momentum for mean, node in zip(self._means, own, strict=True)]
            self._momentum = mx.nd.concat(*momenta, dim=0)
            self._payload = mx.nd.concat(self._momentum, self._momentum, dim=0)

    def before_pass(self) -> None:
        """Keeps the running statistics before a training pass."""
        self.shares.clear()
        if self.usable:
            self._old = self._now()

    def after_pass(self, weight: float) -> None:
        """Computes `shares` from what the pass did to the running statistics.

        Args:
            weight: rows of this rank by those of the batch, times the number of ranks.
        """
        if self._old is None:
            return
        mean, variance = (self._of_pass(old, new) for old, new in zip(self._old, self._now(), strict=True))
        moment = variance + mx.nd.square(mean - self._old[0])
        mx.nd.concat(mean * weight, moment * weight, dim=0, out=self._payload)
        self.shares.append(self._payload)

    def update(self) -> None:
        """Updates the running statistics with `shares`, which are means over the group by now."""
        if self._old is None:
            return
        (old_mean, old_variance), rest = self._old, 1 - self._momentum
        mean, moment = mx.nd.split(self._payload, 2, axis=0)
        variance = mx.nd.maximum(moment - mx.nd.square(mean - old_mean), 0)
        for arrays, values in (
            (self._means, old_mean * self._momentum + mean * rest),
            (self._variances, old_variance * self._momentum + variance * rest),
        ):
            start = 0
            for array in arrays:
                values[start : start + array.size].copyto(array)
                start += array.size
        self._old = None
        self.shares.clear()

    def _now(self) -> tuple[Any, Any]:
        return mx.nd.concat(*self._means, dim=0), mx.nd.concat(*self._variances, dim=0)

    def _of_pass(self, old: Any, new: Any) -> Any:
        """Returns the statistics of a pass: an update is ``momentum * old + (1 - momentum) * statistics``."""
        return (new - old * self._momentum) / (1 - self._momentum)
