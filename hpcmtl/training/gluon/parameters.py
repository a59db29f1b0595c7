"""Roles of the parameters of a Gluon block: frozen, running statistics, shared by objectives."""

from __future__ import annotations

import fnmatch
from collections import Counter
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.zoo import outputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

mx = import_mxnet()


def shared_parameters(block: Any, parameters: Mapping[str, Any], outputs: int) -> list[str]:
    """Returns the names of the parameters that at least two outputs of a network depend on; all for one output.

    Args:
        block: hybridizable network; it is traced with symbols.
        parameters: parameters by name.
        outputs: number of the network's outputs.
    """
    if outputs == 1:
        return list(parameters)
    used = Counter(name for output in outputs_of(block, mx.sym.var("data")) for name in output.list_arguments())
    return [name for name, parameter in parameters.items() if used[parameter.name] > 1]


def freeze(parameters: Mapping[str, Any], patterns: Sequence[str]) -> list[Any]:
    """Excludes parameters from training, and so from communication; returns them.

    Raises:
        InputError: a pattern matches no parameter.
    """
    frozen = []
    for pattern in patterns:
        matching = fnmatch.filter(parameters, pattern)
        if not matching:
            raise InputError([Problem(f"freeze {pattern}", f"matches no parameter{nearest(pattern, parameters)}")])
        for name in matching:
            parameters[name].grad_req = "null"
            frozen.append(parameters[name])
    return frozen


def nothing_to_train(patterns: Sequence[str]) -> Problem:
    """Returns the problem of a network without a parameter that is trained."""
    if patterns:
        return Problem("freeze", f"{', '.join(patterns)} leaves no parameter to train; freeze less")
    return Problem("model", "the network has no parameter to train; every `grad_req` is null, or there is no layer")


def freeze_statistics(block: Any, frozen: Sequence[Any]) -> None:
    """Lets batch normalisation with frozen running statistics use and keep them in training, as in inference."""

    def visit(each: Any) -> None:
        if isinstance(each, mx.gluon.nn.BatchNorm) and each.running_mean in frozen:
            each._kwargs["use_global_stats"] = True  # noqa: SLF001 - set by an argument of the constructor only

    block.apply(visit)


def is_statistic(parameter: Any) -> bool:
    """Returns whether forward passes change a parameter, such as running statistics."""
    return not (parameter._differentiable or isinstance(parameter, mx.gluon.Constant))  # noqa: SLF001 - no public name
