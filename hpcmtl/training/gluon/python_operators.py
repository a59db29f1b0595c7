"""Finds networks in which Python operators meet convolutions: MXNet 1.9.1 races there with oneDNN.

The inputs of an `mx.operator.CustomOp`, and of the backward pass of an `mx.autograd.Function`, that lie in a layout of
oneDNN are copied into a buffer that the next operation of oneDNN uses again, while Python still reads it. Equal runs
then differ, by 1e-4 up to NaN. Convolutions alone choose such layouts: beside dense layers, poolings and norms all runs
were bit-equal, and without oneDNN beside convolutions as well. The switch is read by the first convolution of the
process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.environment import EnvironmentNeeds
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.description import Leaf, Part
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, UserModel
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.graph import traced, traced_as_in_training
from hpcmtl.training.gluon.losses import make_loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Model

mx = import_mxnet()

_SWITCH = "MXNET_MKLDNN_ENABLED"
_OFF = {_SWITCH: "0", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0"}  # else it warns of each operation once
_OPERATORS_OF_MXNET = 5  # that it registers itself; there is no list of their names
_DENSE_AXES = 2
_PYTHON_OPERATOR = '"op": "Custom"'


def prepare_environment(tasks: Mapping[str, FrameworkNeeds]) -> EnvironmentNeeds:
    """See `Framework.prepare_environment`."""
    racing = _racing(tasks)
    if not racing:
        return EnvironmentNeeds()
    known = os.environ.get(_SWITCH) == "0"
    os.environ.update(_OFF)
    if _is_on():
        text = f"{racing[0]} needs MXNet without oneDNN, but a convolution has run in this process already"
        raise EnvironmentUnfitError(f"{text}: set {_SWITCH}=0 in the environment before the start")
    if known:
        return EnvironmentNeeds(variables=_OFF)
    text = "Python operators beside convolutions race with oneDNN in MXNet 1.9.1, so that equal runs would differ"
    price = "the job runs without oneDNN, with which steps of small convolutional networks take half the time"
    reason = f"{', '.join(racing)}: {text}; {price}"
    return EnvironmentNeeds(variables=_OFF, reason=reason)


def _racing(tasks: Mapping[str, FrameworkNeeds]) -> list[str]:
    """Returns the tasks that have Python operators beside convolutions; equal networks are built once."""
    known: list[tuple[tuple[Sequence[Model], Sequence[str]], bool]] = []
    racing = []
    for name, needs in tasks.items():
        models = () if needs.network is None else tuple(_models(needs.network))
        losses = tuple(each.loss for each in needs.objectives if ":" in each.loss)
        races = next((found for key, found in known if key == (models, losses)), None)
        if races is None:
            races = _races(models, losses)
            known.append(((models, losses), races))
        if races:
            racing.append(name)
    return racing


def _races(models: Sequence[Model], losses: Sequence[str]) -> bool:
    """Returns whether there are Python operators beside convolutions; problems of users' code are found elsewhere."""
    if not losses and not any(isinstance(model, UserModel) for model in models):
        return False
    blocks = [block for model in models if isinstance(model, UserModel) and (block := _made(model)) is not None]
    made = [_loss(name) for name in losses]
    convolutions = any(isinstance(model, ConvNet | ConvAutoencoder) for model in models)
    convolutions = convolutions or any(map(_has_convolutions, blocks))
    python = any(_has_python(block, 1) for block in blocks) or any(_has_python(loss, 2) for loss in made)
    return convolutions and python


def _models(network: NetworkDescription) -> Iterator[Model]:
    if isinstance(network, Leaf):
        yield network.model
    elif isinstance(network, Part):
        yield from _models(network.whole)
    else:
        yield from _models(network.trunk)
        for _, head in network.heads:
            yield from _models(head)


def _made(model: UserModel) -> Any:
    """Returns the block of a user's model, not initialised; None if it cannot be made."""
    try:
        return resolve(model.name)(**model.arguments)
    except (Exception, SystemExit):  # noqa: BLE001 - users' code; the checks of the job tell the user
        return None


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


def _has_python(block: Any, inputs: int) -> bool:
    """Returns whether a block has a Python operator; true where no graph shows it and there are some in the process."""
    found = False
    try:
        for mode in (traced_as_in_training, mx.autograd.predict_mode):  # the block's code may ask
            with mode():
                found = found or _PYTHON_OPERATOR in traced(block, inputs).tojson()
    except (Exception, SystemExit):  # noqa: BLE001 - a block that cannot be traced; users' code may raise anything
        functions = [each for each in mx.autograd.Function.__subclasses__() if not each.__module__.startswith("mxnet.")]
        return bool(functions) or mx.operator._registry.counter > _OPERATORS_OF_MXNET  # noqa: SLF001 - no public name
    return found


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
