"""Names and roles of the parameters of a Gluon block: tied, frozen, trained, running statistics, shared by objectives.

A parameter that several blocks share (tied weights) has several names. Steps, messages and the optimizer's state know
it once, under the first of them; artifacts, checkpoints and patterns know all names.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.graph import traced_as_in_training
from hpcmtl.training.gluon.layout import overwrite
from hpcmtl.training.gluon.zoo import outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

mx = import_mxnet()


def named_parameters(block: Any) -> dict[str, Any]:
    """Returns the parameters of a block under all their names, in the order of the names."""
    # The names that save_parameters writes; the public ones count the instances of the process.
    return dict(sorted(block._collect_params_with_prefix().items()))  # noqa: SLF001 - as above


def distinct(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns every parameter once, under the first of its names."""
    return {names[0]: parameters[names[0]] for names in _names_of_each(parameters)}


def ties(parameters: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns the names of each parameter that has several."""
    return [tuple(names) for names in _names_of_each(parameters) if len(names) > 1]


def _names_of_each(parameters: Mapping[str, Any]) -> Iterable[list[str]]:
    names: dict[int, list[str]] = {}
    for name, parameter in parameters.items():
        names.setdefault(id(parameter), []).append(name)
    return names.values()


def assign(parameters: Mapping[str, Any], values: Mapping[str, np.ndarray[Any, Any]], origin: str) -> None:
    """Overwrites parameters by name.

    Args:
        parameters: parameters under all their names.
        values: new values by name.
        origin: text for an error: what the values come from.

    Raises:
        InputError: two names of one parameter have different values.
    """
    for names in ties({name: parameters[name] for name in values}):
        for other in names[1:]:
            if not np.array_equal(values[other], values[names[0]], equal_nan=True):
                text = f"{names[0]} and {other} are one parameter of this network (tied weights)"
                raise InputError([Problem(origin, f"{text}, but have different values there: give it one of them")])
    for name in distinct({name: parameters[name] for name in values}):
        overwrite(parameters[name].data(), values[name])


def trained(block: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters that are trained, each once; their gradients are then overwritten by each backward pass.

    Not trained are those without gradients, and those that no output depends on: a backward pass does not reach them,
    and `gluon.Trainer` refuses them or leaves them as they are.
    """
    unused = unused_parameters(block, parameters)
    found = {n: p for n, p in distinct(parameters).items() if p.grad_req != "null" and n not in unused}
    for parameter in found.values():
        parameter.grad_req = "write"  # a step has one backward pass: with `add`, it would have those of all steps
        if parameter._grad_stype == "csr":  # noqa: SLF001 - as below
            # No operator writes csr gradients and no optimizer reads them: MXNet converts them at each of these.
            parameter._grad_stype = "default"  # noqa: SLF001 - set by an argument of the constructor only
            parameter._init_grad()  # noqa: SLF001 - as above
    return found


def unused_parameters(block: Any, parameters: Mapping[str, Any]) -> list[str]:
    """Returns the names of the parameters that no output of a network depends on in training.

    Args:
        block: hybridizable network; it is traced with symbols. Of one that cannot be traced all parameters count as
            used.
        parameters: parameters by name.
    """
    try:
        with traced_as_in_training():
            outputs = outputs_of(block, mx.sym.var("data"))
    except (Exception, SystemExit):  # noqa: BLE001 - a user's code; training says what is wrong with it
        return []
    used = {name for output in outputs for name in output.list_inputs()}
    return [name for name, parameter in parameters.items() if parameter.name not in used]


def shared_parameters(block: Any, parameters: Mapping[str, Any], outputs: int) -> list[str]:
    """Returns the names of the parameters that at least two outputs of a network depend on; all for one output.

    Args:
        block: hybridizable network; it is traced with symbols.
        parameters: parameters by name.
        outputs: number of the network's outputs.
    """
    if outputs == 1:
        return list(parameters)
    with traced_as_in_training():
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
