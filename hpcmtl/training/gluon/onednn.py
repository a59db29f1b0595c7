"""Finds networks that MXNet 1.9.1 computes wrongly with oneDNN; their jobs run without it.

Convolutions and some concatenations leave their outputs in a layout of oneDNN (`onednn_layouts`), which other operators
must convert. Two kinds of network get other numbers, or end the process:

- Python operators. The inputs of an `mx.operator.CustomOp`, and of the backward pass of an `mx.autograd.Function`, that
  lie in such a layout are copied into a buffer that the next operation of oneDNN uses again, while Python still reads
  it. Equal runs then differ, by 1e-4 up to NaN.
- Layouts that an operator does not convert: a batch normalisation of joined columns computes with other values, a
  softmax over the last axis of such an array ends the process. Of 42 operators tried these two alone.

Without oneDNN all runs were bit-equal. The switch is read by the first convolution of the process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.frameworks.environment import EnvironmentNeeds
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.description import Branches, Leaf, Part
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, UserModel
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.graph import traced
from hpcmtl.training.gluon.group_sum import OPERATOR
from hpcmtl.training.gluon.input_order import input_order, number_of_inputs
from hpcmtl.training.gluon.losses import make_loss
from hpcmtl.training.gluon.onednn_layouts import joins_columns, may_join, softmax_of_layout
from hpcmtl.training.gluon.random_numbers import traced_as_in_training

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.networks.zoo import Model

mx = import_mxnet()

_SWITCH = "MXNET_MKLDNN_ENABLED"
_OFF = {_SWITCH: "0", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0"}  # else it warns of each operation once
_OPERATORS_OF_MXNET = 5  # that it registers itself; there is no list of their names
_OURS = (OPERATOR,)  # which its module registered when it was imported
_DENSE_AXES = 2
_PYTHON_OPERATOR = '"op": "Custom"'
_RACES = "Python operators race with oneDNN in MXNet 1.9.1, so that equal runs would differ"
_MISREADS = "operators of MXNet 1.9.1 misread what oneDNN joined or convolved"
_PRICE = "the job runs without oneDNN, with which steps of small convolutional networks take half the time"


def prepare_environment(tasks: Mapping[str, FrameworkNeeds]) -> EnvironmentNeeds:
    """See `Framework.prepare_environment`."""
    faults = _faults(tasks)
    if not faults:
        return EnvironmentNeeds()
    known = os.environ.get(_SWITCH) == "0"
    os.environ.update(_OFF)
    if _is_on():
        text = f"{next(iter(faults))} needs MXNet without oneDNN, but a convolution has run in this process already"
        raise EnvironmentUnfitError(f"{text}: set {_SWITCH}=0 in the environment before the start")
    if known:
        return EnvironmentNeeds(variables=_OFF)
    said = [
        f"{', '.join(task for task, fault in faults.items() if fault == text)}: {text}"
        for text in dict.fromkeys(faults.values())
    ]
    return EnvironmentNeeds(variables=_OFF, reason="; ".join([*said, _PRICE]))


def _faults(tasks: Mapping[str, FrameworkNeeds]) -> dict[str, str]:
    """Returns the tasks whose networks MXNet gets wrong, with the reason; equal networks are built once."""
    known: list[tuple[object, str]] = []
    faults = {}
    for name, needs in tasks.items():
        models = () if needs.network is None else tuple(_models(needs.network))
        losses = tuple(name for name in needs.loss_names if ":" in name)
        samples = needs.samples if isinstance(needs.network, Leaf | Part) else None  # heads get what the trunk gives
        fault = next((found for key, found in known if key == (models, losses, samples)), None)
        if fault is None:
            fault = _fault(models, losses, samples)
            known.append(((models, losses, samples), fault))
        if fault:
            faults[name] = fault
    return faults


def _fault(models: Sequence[Model], losses: Sequence[str], samples: InputShapes | None) -> str:
    """Returns the reason why networks would be computed wrongly, or nothing; other problems are found elsewhere."""
    if not losses and not any(isinstance(model, UserModel) for model in models):
        return ""
    blocks = [block for model in models if isinstance(model, UserModel) and (block := _made(model)) is not None]
    made = [_loss(name) for name in losses]
    convolutions = any(isinstance(model, ConvNet | ConvAutoencoder) for model in models)
    convolutions = convolutions or any(map(_has_convolutions, blocks))
    graphs = [_graphs(block, number_of_inputs(block)) for block in blocks]
    joined = any(
        may_join(block) if found is None else any(joins_columns(graph, _by_place(block, samples)) for graph in found)
        for block, found in zip(blocks, graphs, strict=True)
    )
    joined = joined or any(isinstance(model, Fusion) and model.joins_columns for model in models)
    if (convolutions or joined) and any(map(_has_python, [*graphs, *(_graphs(loss, 2) for loss in made)])):
        return _RACES
    if joined or any(softmax_of_layout(graph) for found in graphs if found for graph in found):
        return _MISREADS
    return ""


def _by_place(block: Any, samples: InputShapes | None) -> InputShapes | None:
    """Returns the shapes of samples in the order in which a block takes them; None where it takes others."""
    try:
        return None if samples is None else {name: samples[name] for name in input_order(block, samples)}
    except InputError:  # the checks of the job tell the user
        return None


def _models(network: NetworkDescription) -> Iterator[Model]:
    if isinstance(network, Leaf):
        yield network.model
        if isinstance(network.model, Fusion):
            yield from network.model.encoders.values()
    elif isinstance(network, Part):
        yield from _models(network.whole)
    elif isinstance(network, Branches):
        for each in network.networks:
            yield from _models(each)
    else:
        yield from _models(network.trunk)
        for _, head in network.heads:
            yield from _models(head)


def _made(model: UserModel) -> Any:
    """Returns the block of a user's model, not initialised; None if it cannot be made, or is none of MXNet."""
    try:
        made = resolve(model.name)(**model.arguments)
    except (Exception, SystemExit):  # noqa: BLE001 - users' code; the checks of the job tell the user
        return None
    return made if isinstance(made, mx.gluon.Block) else None


def _loss(name: str) -> Any:
    try:
        return make_loss(name)
    except (Exception, SystemExit):  # noqa: BLE001 - as above
        return None


def _has_convolutions(block: Any) -> bool:
    """Returns whether a block has a weight with axes of space; oneDNN runs each convolution in a layout of its own."""
    return any(
        parameter.shape is None or len(parameter.shape) > _DENSE_AXES for parameter in block.collect_params().values()
    )


def _graphs(block: Any, inputs: int) -> list[Any] | None:
    """Returns the symbols of a block in training and in inference; None if it cannot be traced."""
    graphs = []
    try:
        for mode in (traced_as_in_training, mx.autograd.predict_mode):  # the block's code may ask
            with mode():
                graphs.append(traced(block, inputs))
    except (Exception, SystemExit):  # noqa: BLE001 - users' code may raise anything
        return None
    return graphs


def _has_python(graphs: Sequence[Any] | None) -> bool:
    """Returns whether graphs have a Python operator; true where there are none and the process has such operators."""
    if graphs is None:
        functions = [each for each in mx.autograd.Function.__subclasses__() if not each.__module__.startswith("mxnet.")]
        return bool(functions) or _operators_of_users() > 0
    return any(_PYTHON_OPERATOR in graph.tojson() for graph in graphs)


def _operators_of_users() -> int:
    """Returns the number of Python operators that users registered in this process."""
    kept = list(mx.operator._registry.ref_holder.values())  # noqa: SLF001 - no public name
    known = _OPERATORS_OF_MXNET + len(_OURS)
    return sum(not isinstance(each, mx.operator.CustomOp | mx.operator.CustomOpProp) for each in kept) - known


def _is_on() -> bool:
    """Returns whether oneDNN works in this process; a convolution in inference then rearranges its weights."""
    weight = mx.nd.ones((16, 16, 3, 3))
    images = mx.nd.ones((1, 16, 8, 8))
    mx.nd.Convolution(images, weight, kernel=(3, 3), num_filter=16, no_bias=True)
    mx.nd.waitall()
    try:
        weight.to_dlpack_for_read()
    except mx.MXNetError:
        return True
    return False
