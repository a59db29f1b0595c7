"""Batch normalisation by the statistics of the whole batch of a group, forward and backward.

It equals one rank on the concatenated batch: sums over the group take the place of sums over the rows, in the forward
pass (number of values and their sum, then the squares of the centred values) and in the backward pass, where the
gradient of a sum over the group is the sum of the gradients of all ranks. The row of a filler counts for nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.modules import is_normalisation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

torch = import_torch()
nn = torch.nn
_Module: Any = nn.Module
_Function: Any = torch.autograd.Function


class GroupSum:
    """Sum of vectors over the ranks of the present group; of this rank alone where there is none.

    Attributes:
        counts: whether the rows of this rank are samples, and no filler.
        total: function that overwrites an array by its sum over the group; None for this rank alone.
    """

    def __init__(self) -> None:
        self.counts = True
        self.total: Callable[[np.ndarray[Any, Any]], None] | None = None

    def __deepcopy__(self, _memo: object) -> GroupSum:
        """Returns a sum of this rank alone: a copy of a network is run by one rank when it likes."""
        return GroupSum()

    def of(self, vector: Any) -> Any:
        """Returns the sum of a vector, which can be differentiated."""
        return vector if self.total is None else _SumOverGroup.apply(vector, self.total)


@contextmanager
def alone(group: GroupSum | None) -> Iterator[None]:
    """Lets passes in a block use this rank's rows alone."""
    total = None if group is None else group.total
    if group is not None:
        group.total = None
    try:
        yield
    finally:
        if group is not None:
            group.total = total


class _SumOverGroup(_Function):
    """Sum over the group; its gradient is the sum of the gradients of all ranks."""

    @staticmethod
    def forward(ctx: Any, vector: Any, total: Callable[[np.ndarray[Any, Any]], None]) -> Any:
        ctx.total = total
        made = vector.detach().clone()
        total(made.numpy())
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> tuple[Any, None]:
        made = gradient.clone()
        ctx.total(made.numpy())
        return made, None


class GroupBatchNorm(_Module):
    """A batch normalisation of PyTorch whose training passes use the statistics of the whole group's batch."""

    def __init__(self, plain: Any, group: GroupSum) -> None:
        super().__init__()
        self.eps, self.momentum, self.group = plain.eps, plain.momentum, group
        for name in ("weight", "bias"):
            self.register_parameter(name, getattr(plain, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(plain, name))

    def forward(self, x: Any) -> Any:
        """Normalises (n, channels, ...), in float32."""
        x = x.float()
        shape = (1, -1) + (1,) * (x.ndim - 2)
        if not self.training and self.running_mean is not None:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        axes = [axis for axis in range(x.ndim) if axis != 1]
        part = 1.0 if self.group.counts else 0.0
        values = torch.full((1,), part * x.numel() / x.shape[1])
        sums = self.group.of(torch.cat([values, x.sum(axes) * part]))
        count, mean = sums[0], sums[1:] / sums[0]
        centred = x - mean.view(shape)
        variance = self.group.of(centred.square().sum(axes) * part) / count
        if self.training and self.running_mean is not None:
            self._update(mean.detach(), variance.detach(), count.detach())
        made = centred * torch.rsqrt(variance + self.eps).view(shape)
        return made if self.weight is None else made * self.weight.view(shape) + self.bias.view(shape)

    def _update(self, mean: Any, variance: Any, count: Any) -> None:
        self.num_batches_tracked.add_(1)
        factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, factor)
        self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), factor)


def synchronise(module: Any) -> GroupSum:
    """Replaces the batch normalisations of a network, in place; returns the sum that they use.

    Raises:
        InputError: there is none, or one is of a class of the user's.
    """
    group, replaced = GroupSum(), dict[int, GroupBatchNorm]()
    for parent in list(module.modules()):
        for name, each in list(parent.named_children()):
            if not is_normalisation(each):
                continue
            if type(each) not in {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d}:
                text = f"{name} is a {type(each).__name__}, whose statistics hpcmtl cannot take over the group"
                raise InputError([Problem("sync_batchnorm", f"{text}; use nn.BatchNorm1d, 2d or 3d")])
            made = replaced.setdefault(id(each), GroupBatchNorm(each, group))
            parent._modules[name] = made  # noqa: SLF001 - `setattr` fails for names such as 0
            made.train(each.training)
    if not replaced:
        text = "the network has no batch normalisation inside it; leave the key out"
        raise InputError([Problem("sync_batchnorm", text)])
    return group
