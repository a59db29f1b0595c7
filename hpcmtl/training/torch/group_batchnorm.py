"""Batch normalisation by the statistics of the whole batch of a group, forward and backward.

It equals one rank on the concatenated batch: sums over the group take the place of sums over the rows, in the forward
pass (number of values and their sum, then the squares of the centred values) and in the backward pass, where the
gradient of a sum over the group is the sum of the gradients of all ranks. The row of a filler counts for nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.group_sum import GroupSum
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.modules import is_normalisation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

torch = import_torch()
nn = torch.nn
_Function: Any = torch.autograd.Function
_BatchNorm1d: Any = nn.BatchNorm1d
_BatchNorm2d: Any = nn.BatchNorm2d
_BatchNorm3d: Any = nn.BatchNorm3d


class TorchGroupSum(GroupSum):
    """A `GroupSum` of tensors."""

    def of(self, vector: Any) -> Any:
        """Returns the sum of a vector, which can be differentiated."""
        return vector if self.total is None else _SumOverGroup.apply(vector, self.total)


class _SumOverGroup(_Function):
    """Sum over the group; its gradient is the sum of the gradients of all ranks."""

    @staticmethod
    def forward(ctx: Any, vector: Any, total: Callable[[np.ndarray[Any, Any]], None]) -> Any:
        ctx.total = total
        return _total(vector.detach(), total)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> tuple[Any, None]:
        return _total(gradient, ctx.total), None


def _total(vector: Any, total: Callable[[np.ndarray[Any, Any]], None]) -> Any:
    """Returns the sum of a vector over the group, by way of the host."""
    made = vector.cpu().clone()
    total(made.numpy())
    return made.to(vector.device)


class GroupBatchNorm:
    """The forward pass of a batch normalisation over a group; inference is PyTorch's own."""

    group: TorchGroupSum

    def forward(self: Any, x: Any) -> Any:
        """Normalises (n, channels, ...); in training in float32, by all rows of the group."""
        if not self.training:
            return super().forward(x)  # type: ignore[misc]  # of the class of PyTorch beside this one
        x, shape = x.float(), (1, -1) + (1,) * (x.ndim - 2)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        part = 1.0 if self.group.counts else 0.0
        values = x.new_full((1,), part * x.numel() / x.shape[1])
        sums = self.group.of(torch.cat([values, x.sum(axes) * part]))
        count, mean = sums[0], sums[1:] / sums[0]
        centred = x - mean.view(shape)
        variance = self.group.of(centred.square().sum(axes) * part) / count
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.detach(), factor)
                self.running_var.lerp_(variance.detach() * (count / (count - 1).clamp(min=1)), factor)
        made = centred * torch.rsqrt(variance + self.eps).view(shape)
        return made if self.weight is None else made * self.weight.view(shape) + self.bias.view(shape)


class GroupBatchNorm1d(GroupBatchNorm, _BatchNorm1d):
    """See `GroupBatchNorm`."""


class GroupBatchNorm2d(GroupBatchNorm, _BatchNorm2d):
    """See `GroupBatchNorm`."""


class GroupBatchNorm3d(GroupBatchNorm, _BatchNorm3d):
    """See `GroupBatchNorm`."""


_GROUPED = {
    nn.BatchNorm1d: GroupBatchNorm1d,
    nn.BatchNorm2d: GroupBatchNorm2d,
    nn.BatchNorm3d: GroupBatchNorm3d,
}
_PLAIN = {grouped: plain for plain, grouped in _GROUPED.items()}


def synchronise(module: Any) -> TorchGroupSum:
    """Lets the batch normalisations of a network use statistics of the group, in place; returns the sum that they use.

    The objects stay, with another class: other names of them, and hooks, stay as well.

    Raises:
        InputError: there is none, or one is of a class of the user's.
    """
    group, found = TorchGroupSum(), [(name, each) for name, each in module.named_modules() if is_normalisation(each)]
    for name, each in found:
        if type(each) not in _GROUPED:
            text = f"{name} is a {type(each).__name__}, whose statistics hpcmtl cannot take over the group"
            raise InputError([Problem("sync_batchnorm", f"{text}; use nn.BatchNorm1d, 2d or 3d")])
        each.__class__ = _GROUPED[type(each)]
        each.group = group
    if not found:
        raise InputError([Problem("sync_batchnorm", "the network has no batch normalisation; leave the key out")])
    return group


def group_normalisations(module: Any) -> list[Any]:
    """Returns the batch normalisations of a network that use statistics of the group."""
    return [each for each in module.modules() if type(each) in _PLAIN]


@contextmanager
def plain(module: Any) -> Iterator[None]:
    """Gives the batch normalisations of a network, in place, their class of PyTorch back for a block."""
    grouped = group_normalisations(module)
    for each in grouped:
        each.__class__ = _PLAIN[type(each)]
    try:
        yield
    finally:
        for each in grouped:
            each.__class__ = _GROUPED[type(each)]
