"""Makes the PyTorch optimizers of jobs, and refuses options and optimizers that do not fit."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.training.optimizer_options import unfit_options
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.without_compiler import leave_out_compiler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.jobfile.tasks import Optimizer

torch = import_torch()

CLASSES = {
    each.lower(): getattr(torch.optim, each)
    for each in (
        *("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"),
        *("Adagrad", "Adadelta", "Adafactor", "ASGD", "Rprop"),
    )
    if hasattr(torch.optim, each)
}
_GIVEN = {
    "lr": "use `learning_rate` of the optimizer",
    "weight_decay": "use `weight_decay` of the optimizer",
    "params": "leave it out, hpcmtl sets it",
}
"""Options of PyTorch's optimizers that are not for users, and what to do in their place."""
RATE, FUSED = "lr", "fused"
_DECAY = "weight_decay"
_WAYS = {FUSED, "foreach", "differentiable", "capturable"}
"""Options of PyTorch's optimizers that choose how an update is computed."""


def make_optimizer(optimizer: Optimizer, parameters: list[Any], *, fused: bool = True) -> Any:
    """Makes the PyTorch optimizer of a job for some parameters.

    Args:
        optimizer: optimizer of the job.
        parameters: parameters to update.
        fused: whether PyTorch may update them by one kernel of its own, which reads and writes each number once. On
            CPUs it is 2 to 7 times as quick as its default, which is several operations on each parameter.

    Raises:
        InputError: a user's optimizer cannot be imported or is none, or the options do not fit.
    """
    leave_out_compiler()
    where = f"optimizer {optimizer.name}"
    make = resolve(optimizer.name) if ":" in optimizer.name else CLASSES[optimizer.name.lower()]
    problems = [Problem(where, text) for text in _unfit(make, optimizer)]
    if problems:
        raise InputError(problems)
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in optimizer.options.items()}
    one_kernel = {FUSED: True} if fused and _can_be_fused(make, optimizer, parameters) else {}
    options = {RATE: optimizer.learning_rate, **_decay(make, optimizer), **one_kernel, **options}
    try:
        made = make(parameters, **options)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError([Problem(where, f"cannot be made with {options}: {reason_of(error)}")]) from error
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError([Problem(where, f"makes a {type(made).__name__}, not a torch.optim.Optimizer")])
    if len({float(group[RATE]) for group in made.param_groups}) > 1:
        text = "makes groups of parameters with rates of their own, which hpcmtl would set to one rate"
        raise InputError([Problem(where, f"{text}; write them under `groups` of the optimizer in the job file")])
    if isinstance(made, torch.optim.SparseAdam):
        raise InputError([Problem(where, "wants sparse gradients, which hpcmtl does not give; use adam or sgd")])
    if isinstance(made, torch.optim.LBFGS) or _asks_for_closure(made):
        text = "its `step` asks for a closure, to compute the loss several times a step (as L-BFGS and SAM do)"
        reason = "hpcmtl makes one pass a step, whose gradients it sums over the ranks"
        remedy = "use an optimizer with `step()` alone, such as adam or sgd, or train in a `python` task"
        raise InputError([Problem(where, f"{text}; {reason}: {remedy}")])
    return made


def _asks_for_closure(optimizer: Any) -> bool:
    """Returns whether the `step` of an optimizer has an argument without a default."""
    given = inspect.signature(optimizer.step).parameters.values()
    return any(
        each.default is each.empty and each.kind in {each.POSITIONAL_OR_KEYWORD, each.POSITIONAL_ONLY} for each in given
    )


def _can_be_fused(make: Any, optimizer: Optimizer, parameters: list[Any]) -> bool:
    """Returns whether a class of PyTorch has one kernel for these parameters, and no option asks for another way."""
    fits = all(each.is_floating_point() and each.device.type == "cpu" for each in parameters)
    return ":" not in optimizer.name and FUSED in parameters_of(make) and fits and not _WAYS & optimizer.options.keys()


def _decay(make: Any, optimizer: Optimizer) -> dict[str, float]:
    """Returns the weight decay as an argument, also where it is 0: the default of some classes is not."""
    return {_DECAY: optimizer.weight_decay} if _DECAY in parameters_of(make) or _is_open_ended(make) else {}


def _is_open_ended(make: Any) -> bool:
    """Returns whether a class or function takes arguments of any name."""
    return any(each.kind is each.VAR_KEYWORD for each in inspect.signature(make).parameters.values())


def parameters_of(make: Any) -> dict[str, Any]:
    """Returns the arguments that a class or function takes, with their defaults."""
    found = inspect.signature(make).parameters.values()
    return {each.name: each.default for each in found if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}}


def _unfit(make: Any, optimizer: Optimizer) -> Iterator[str]:
    """Yields a weight decay and options that the optimizer does not take."""
    known, open_ended = parameters_of(make), _is_open_ended(make)
    if optimizer.weight_decay and _DECAY not in known and not open_ended:
        yield f"takes no weight_decay, and it is {optimizer.weight_decay}; write 0 or use another optimizer"
    yield from unfit_options(optimizer.options, known, _GIVEN, open_ended=open_ended)
