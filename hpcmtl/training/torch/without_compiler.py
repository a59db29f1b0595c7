"""Optimizers of PyTorch without the import of its compiler.

The first optimizer of a process, and the first step, import ``torch._dynamo`` to tell the compiler that it is to leave
them alone. That takes as long as the import of PyTorch itself: 2.3 of the 5.1 s of a rank (torch 2.13, one core).
No step here is compiled.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Callable

torch = import_torch()

_OWN = "torch.optim."
_KNOWN = "__dynamo_disable"  # where torch._disable_dynamo keeps what it made of a function at the first call


def leave_out_compiler() -> None:
    """Lets the methods of PyTorch's base class of optimizers run as they are, without the import."""
    for method in vars(torch.optim.Optimizer).values():
        code, plain = getattr(method, "__code__", None), getattr(method, "__wrapped__", None)
        if code is not None and plain is not None and code.co_filename.endswith("_compile.py"):
            setattr(plain, _KNOWN, getattr(plain, _KNOWN, plain))


def take_step(optimizer: Any) -> None:
    """Takes a step of an optimizer: by the function below the wrappers, if it is one of PyTorch's own."""
    kind: type = type(optimizer)
    step = _plain_step(kind)
    if step is None or optimizer.defaults.get("differentiable") or _has_hooks(optimizer):
        optimizer.step()
        return
    with torch.no_grad():
        step(optimizer)


@cache
def _plain_step(kind: type) -> Callable[[Any], Any] | None:
    """Returns the step of a class of PyTorch's; None for classes of users."""
    return inspect.unwrap(kind.step) if kind.__module__.startswith(_OWN) else None  # type: ignore[attr-defined]


def _has_hooks(optimizer: Any) -> bool:
    return any(getattr(optimizer, f"_optimizer_step_{when}_hooks", None) for when in ("pre", "post"))
