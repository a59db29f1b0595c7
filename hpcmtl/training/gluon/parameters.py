"""Roles of the parameters of a Gluon block: frozen, trained, running statistics, shared by objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.graph import arguments_with_gradient
from hpcmtl.training.gluon.layout import overwrite
from hpcmtl.training.gluon.random_numbers import traced_as_in_training
from hpcmtl.training.gluon.samples import symbols
from hpcmtl.training.gluon.zoo import outputs_of
from hpcmtl.training.parameter_names import distinct, frozen_names, one_value_each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

mx = import_mxnet()


def named_parameters(block: Any) -> dict[str, Any]:
    """Returns the parameters of a block under all their names, in the order of the names."""
    # The names that save_parameters writes; the public ones count the instances of the process.
    return dict(sorted(block._collect_params_with_prefix().items()))  # noqa: SLF001 - as above


def assign(parameters: Mapping[str, Any], values: Mapping[str, np.ndarray[Any, Any]], origin: str) -> None:
    """Overwrites parameters by name.

    Args:
        parameters: parameters under all their names.
        values: new values by name.
        origin: text for an error: what the values come from.

    Raises:
        InputError: two names of one parameter have different values.
    """
    for name, value in one_value_each(parameters, values, origin).items():
        overwrite(parameters[name].data(), value)


def trained(block: Any, parameters: Mapping[str, Any], inputs: int) -> dict[str, Any]:
    """Returns the parameters that are trained, each once; their gradients are then overwritten by each backward pass.

    Not trained are those without gradients, and those that no output depends on: a backward pass does not reach them,
    and `gluon.Trainer` refuses them or leaves them as they are.
    """
    unused = unused_parameters(block, parameters, inputs)
    found = {n: p for n, p in distinct(parameters).items() if p.grad_req != "null" and n not in unused}
    for parameter in found.values():
        parameter.grad_req = "write"  # a step has one backward pass: with `add`, it would have those of all steps
        if parameter._grad_stype == "csr":  # noqa: SLF001 - as below
            # No operator writes csr gradients and no optimizer reads them: MXNet converts them at each of these.
            parameter._grad_stype = "default"  # noqa: SLF001 - set by an argument of the constructor only
            parameter._init_grad()  # noqa: SLF001 - as above
    return found


def accumulate(parameters: Mapping[str, Any], statistics: Mapping[str, Any]) -> None:
    """Lets backward passes add to the gradients of parameters, which are cleared before each step.

    Raises:
        InputError: a gradient is sparse, or forward passes update running statistics, which each micro-batch would do.
    """
    sparse = [name for name, parameter in parameters.items() if parameter.grad().stype != "default"]
    if sparse or statistics:
        what = f"sparse gradients ({sparse[0]})" if sparse else f"running statistics ({next(iter(statistics))})"
        text = f"MXNet cannot accumulate over micro-batches in a network with {what}; write `accumulate: 1`"
        raise InputError([Problem("accumulate", text)])
    for parameter in parameters.values():
        parameter.grad_req = "add"


def unused_parameters(block: Any, parameters: Mapping[str, Any], inputs: int) -> list[str]:
    """Returns the names of the parameters that no output of a network depends on in training.

    Args:
        block: hybridizable network; it is traced with symbols. Of one that cannot be traced all parameters count as
            used.
        parameters: parameters by name.
        inputs: number of the network's inputs.
    """
    try:
        with traced_as_in_training():
            outputs = outputs_of(block, symbols(inputs))
    except (Exception, SystemExit):  # noqa: BLE001 - a user's code; training says what is wrong with it
        return []
    used = {name for output in outputs for name in output.list_inputs()}
    return [name for name, parameter in parameters.items() if parameter.name not in used]


def reached_parameters(block: Any, parameters: Mapping[str, Any], inputs: int) -> list[frozenset[str]]:
    """Returns for each output of a network the names of the parameters that it has a gradient by.

    Args:
        block: hybridizable network; it is traced with symbols.
        parameters: parameters by name.
        inputs: number of the network's inputs.
    """
    with traced_as_in_training():
        used = [arguments_with_gradient(output) for output in outputs_of(block, symbols(inputs))]
    return [frozenset(name for name, each in parameters.items() if each.name in names) for names in used]


def freeze(parameters: Mapping[str, Any], patterns: Sequence[str]) -> list[Any]:
    """Excludes parameters from training, and so from communication; returns them.

    Raises:
        InputError: a pattern matches no parameter.
    """
    frozen = [parameters[name] for name in frozen_names(parameters, patterns)]
    for parameter in frozen:
        parameter.grad_req = "null"
    return frozen


def freeze_statistics(block: Any, frozen: Sequence[Any]) -> None:
    """Lets batch normalisation with frozen running statistics use and keep them in training, as in inference."""

    def visit(each: Any) -> None:
        if isinstance(each, mx.gluon.nn.BatchNorm) and (each.running_mean in frozen or each.running_var in frozen):
            each._kwargs["use_global_stats"] = True  # noqa: SLF001 - set by an argument of the constructor only

    block.apply(visit)


def is_statistic(parameter: Any) -> bool:
    """Returns whether forward passes change a parameter, such as running statistics."""
    return not (parameter._differentiable or isinstance(parameter, mx.gluon.Constant))  # noqa: SLF001 - no public name
