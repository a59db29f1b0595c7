"""Running statistics of batch normalisation on a group: those of the whole batch, from the shares of the ranks.

A rank's batch normalisation computes mean and variance of the rank's own rows. With n the number of a rank's values, m
their mean, v their variance, N the sum of n, and c any value that all ranks have, the whole batch has the mean
M = sum(n m) / N and the variance V = sum(n (v + (m - c)^2)) / N - (M - c)^2. Here c is the running mean, so that little
is lost to rounding. PyTorch keeps the unbiased variance, V N / (N - 1). A rank without samples has n = 0: its filler
row counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.modules import is_normalisation

if TYPE_CHECKING:
    from collections.abc import Collection

torch = import_torch()


class TorchBatchStatistics:
    """Replaces what a training pass did to the running statistics of one rank by what the whole batch does.

    Attributes:
        modules: batch normalisations whose running statistics are updated.
        shares: this rank's part of the sums over the group, times the number of ranks; empty between steps.
    """

    def __init__(self, module: Any, frozen: Collection[int]) -> None:
        """Takes the batch normalisations of a network.

        Args:
            module: the network.
            frozen: ids of the buffers that stay as they are.
        """
        found = (each for each in module.modules() if is_normalisation(each) and each.track_running_stats)
        self.modules = [each for each in found if id(each.running_mean) not in frozen]
        self.shares: list[Any] = []
        self._old: list[tuple[Any, Any]] = []  # statistics before a pass; empty outside of it
        self._found: dict[int, Any] = {}  # number of a module -> its part of `shares`
        self._counts = True
        for number, each in enumerate(self.modules):
            each.register_forward_pre_hook(lambda _, inputs, number=number: self._note(number, inputs[0]))

    def before_pass(self, *, counts: bool) -> None:
        """Keeps the running statistics before a training pass, whose rows are no samples if `counts` is not set."""
        self.shares.clear()
        self._found.clear()
        self._counts = counts
        self._old = [(each.running_mean.clone(), each.running_var.clone()) for each in self.modules]

    def after_pass(self, ranks: int) -> None:
        """Makes `shares` of what the pass gave to the batch normalisations."""
        if self._old:
            empty = (mean.new_zeros(1 + 2 * len(mean)) for mean, _ in self._old)
            self.shares.append(torch.cat([self._found.get(n, each) for n, each in enumerate(empty)]) * ranks)

    def update(self) -> None:
        """Updates the running statistics with `shares`, which are means over the group by now."""
        if not self.shares:
            return
        pieces = self.shares[0].split([1 + 2 * len(mean) for mean, _ in self._old])
        with torch.no_grad():
            for module, old, piece in zip(self.modules, self._old, pieces, strict=True):
                self._update(module, old, piece)
        self.shares.clear()
        self._old.clear()

    @staticmethod
    def _update(module: Any, old: tuple[Any, Any], piece: Any) -> None:
        width = len(old[0])
        count, mean, moment = piece.split([1, width, width])
        if not count:  # no rank has run it
            return
        mean, moment = mean / count, moment / count
        variance = (moment - (mean - old[0]).square()).clamp(min=0) * (count / (count - 1).clamp(min=1))
        factor = 1.0 / float(module.num_batches_tracked) if module.momentum is None else module.momentum
        module.running_mean.copy_(old[0].lerp(mean, factor))
        module.running_var.copy_(old[1].lerp(variance, factor))

    def _note(self, number: int, inputs: Any) -> None:
        if not self._old or not self.modules[number].training:
            return
        values, running = inputs.detach(), self._old[number][0]
        axes = [axis for axis in range(values.ndim) if axis != 1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        count = mean.new_tensor([values.numel() / values.shape[1] if self._counts else 0.0])
        self._found[number] = torch.cat([count, mean * count, (variance + (mean - running).square()) * count])
