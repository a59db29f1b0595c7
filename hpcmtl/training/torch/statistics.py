"""Running statistics of batch normalisation on a group: those of the whole batch, from the shares of the ranks.

A rank's batch normalisation computes mean and variance of the rank's own rows. With n the number of a rank's values, m
their mean, v their variance, N the sum of n, and c any value that all ranks have, the whole batch has the mean
M = sum(n m) / N and the variance V = sum(n (v + (m - c)^2)) / N - (M - c)^2. Here c is the running mean, so that little
is lost to rounding. PyTorch keeps the unbiased variance, V N / (N - 1). A rank without samples has n = 0: its filler
row counts for nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.group_batchnorm import GroupBatchNorm
from hpcmtl.training.torch.modules import is_normalisation

if TYPE_CHECKING:
    from collections.abc import Collection

torch = import_torch()


@dataclass(frozen=True)
class _Before:
    """Holds the running statistics of a batch normalisation before a step.

    Attributes:
        mean: running mean.
        variance: running variance.
        batches: number of batches that they are of.
    """

    mean: Any
    variance: Any
    batches: int


def has_frozen_statistics(module: Any, frozen: Collection[int]) -> bool:
    """Returns whether a module has a running mean or variance among buffers, given by id, that stay as they are."""
    return any(id(getattr(module, name, None)) in frozen for name in ("running_mean", "running_var"))


class TorchBatchStatistics:
    """Replaces what a training pass did to the running statistics of one rank by what the whole batch does.

    Attributes:
        modules: batch normalisations whose running statistics are updated.
        refuse_one_row: whether a training pass over one row may be refused: PyTorch normalises no single value.
        weight: number of samples for each row of the pass that follows; 0 for the row of a filler.
        shares: this rank's part of the sums over the group, times the number of ranks; empty between steps.
    """

    def __init__(self, module: Any, frozen: Collection[int]) -> None:
        """Takes the batch normalisations of a network.

        Args:
            module: the network.
            frozen: ids of the buffers that stay as they are.
        """
        found = [each for each in module.modules() if is_normalisation(each) and not isinstance(each, GroupBatchNorm)]
        self.refuse_one_row, self.weight = bool(found), 1.0
        self.modules = [each for each in found if each.track_running_stats and not has_frozen_statistics(each, frozen)]
        self.shares: list[Any] = []
        self._old: list[_Before] = []  # statistics before a pass; empty outside of it
        self._calls: Counter[int] = Counter()  # number of a module -> passes through it since `before_pass`
        self._found: dict[int, Any] = {}  # number of a module -> its part of `shares`
        for number, each in enumerate(self.modules):
            each.register_forward_pre_hook(lambda _, inputs, number=number: self._note(number, inputs[0]))

    def before_pass(self) -> None:
        """Keeps the running statistics before the training passes of a step."""
        self.shares.clear()
        self._found.clear()
        self._calls.clear()
        self._old = [
            _Before(each.running_mean.clone(), each.running_var.clone(), int(each.num_batches_tracked))
            for each in self.modules
        ]

    def leave_out_repeated(self) -> None:
        """Takes back `before_pass`; leaves all statistics to PyTorch if the pass ran a module more than once.

        One rank updates them one after the other, which sums over the group cannot follow.
        """
        if any(calls > 1 for calls in self._calls.values()):
            self.modules = []
        self._old.clear()

    def after_pass(self, ranks: int) -> None:
        """Makes `shares` of what the pass gave to the batch normalisations."""
        if self._old:
            empty = (old.mean.new_zeros(1 + 2 * len(old.mean)) for old in self._old)
            self.shares.append(torch.cat([self._found.get(n, each) for n, each in enumerate(empty)]) * ranks)

    def update(self) -> None:
        """Updates the running statistics with `shares`, which are means over the group by now."""
        if not self.shares:
            return
        pieces = self.shares[0].split([1 + 2 * len(old.mean) for old in self._old])
        with torch.no_grad():
            for module, old, piece in zip(self.modules, self._old, pieces, strict=True):
                self._update(module, old, piece)
        self.shares.clear()
        self._old.clear()

    @staticmethod
    def _update(module: Any, old: _Before, piece: Any) -> None:
        width = len(old.mean)
        count, mean, moment = piece.split([1, width, width])
        if not count:  # no rank has run it with a sample
            module.running_mean.copy_(old.mean)
            module.running_var.copy_(old.variance)
            module.num_batches_tracked.fill_(old.batches)
            return
        mean, moment = mean / count, moment / count
        variance = (moment - (mean - old.mean).square()).clamp(min=0) * (count / (count - 1).clamp(min=1))
        factor = 1.0 / (old.batches + 1) if module.momentum is None else module.momentum
        module.running_mean.copy_(old.mean.lerp(mean, factor))
        module.running_var.copy_(old.variance.lerp(variance, factor))
        module.num_batches_tracked.fill_(old.batches + 1)

    def _note(self, number: int, inputs: Any) -> None:
        if not self._old or not self.modules or not self.modules[number].training:
            return
        self._calls[number] += 1
        values, running = inputs.detach().float(), self._old[number].mean
        axes = [axis for axis in range(values.ndim) if axis != 1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        count = mean.new_tensor([self.weight * values.numel() / values.shape[1]])
        found = torch.cat([count, mean * count, (variance + (mean - running).square()) * count])
        self._found[number] = found + self._found[number] if number in self._found else found
