"""Makes the initialised block of a network, and refuses blocks that could not be trained as they are written.

Users' blocks may raise anything when they are built or run. Each error becomes an `InputError` here, so that it fails
one task and not the run.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.networks.description import values_by_input
from hpcmtl.networks.shapes import shapes_text
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.input_order import input_order
from hpcmtl.training.gluon.samples import trial_samples
from hpcmtl.training.gluon.zoo import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes

mx = import_mxnet()
DTYPE = "float32"
_OF_GLUON = frozenset(vars(mx.gluon.HybridBlock()))  # attributes that every block has
_TAKEN: weakref.WeakSet[Any] = weakref.WeakSet()


def make_block(network: NetworkDescription, samples: InputShapes) -> Any:
    """Returns the block of a network with initial parameters, after it has run on one sample of ones.

    Raises:
        InputError: it cannot be built, cannot run on such a sample, or has parameters that cannot be trained.
    """
    block = build(network, samples)
    problems = [*_taken(block), *_lost_children(block), *_other_types(block), *_sparse_values(block)]
    if problems:
        raise InputError(problems)
    try:
        block.initialize(mx.init.Xavier(), force_reinit=False)
        values = values_by_input(network, input_order(block, samples))
        block(*trial_samples(1, samples, values))  # blocks of users may infer shapes from data only
        mx.nd.waitall()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        text = f"cannot run on samples of shape {shapes_text(samples)}: {reason_of(error)}"
        raise InputError([Problem("model", text)]) from error
    problems = [*_unreached(block)]
    if problems:
        raise InputError(problems)
    return block


def _taken(block: Any) -> Iterator[Problem]:
    """Yields parameters that a network built before has as well, such as those of a block kept in a user's module."""
    parameters = block._collect_params_with_prefix()  # noqa: SLF001 - see `GluonNetwork`
    shared = [name for name, each in parameters.items() if each in _TAKEN]
    if shared:
        text = f"{', '.join(shared[:3])} belong to a network that was built before, and would be trained with it"
        yield Problem("model", f"{text}; make new blocks at each call, none in the module")
    _TAKEN.update(parameters.values())


def _blocks(block: Any) -> Iterator[Any]:
    """Yields a block and all its descendants, each once."""
    found: list[Any] = []
    block.apply(found.append)
    yield from {id(each): each for each in found}.values()


def _lost_children(block: Any) -> Iterator[Problem]:
    """Yields blocks that Gluon does not know of, since they are in a list, tuple or dict of their parent."""
    known = list(_blocks(block))
    there = {id(each) for each in known}
    for parent in known:
        for attribute in vars(parent).keys() - _OF_GLUON:
            value = getattr(parent, attribute)
            if isinstance(value, list | tuple | dict) and not there.issuperset(map(id, _blocks_in(value))):
                text = f"{type(parent).__name__}.{attribute} is a {type(value).__name__} of blocks"
                remedy = "they would not be trained; use nn.HybridSequential, or register_child for each"
                yield Problem("model", f"{text}, which Gluon does not take for children: {remedy}")


def _blocks_in(value: Any) -> Iterator[Any]:
    """Yields the blocks in lists, tuples and dicts inside of each other."""
    if isinstance(value, mx.gluon.Block):
        yield value
    elif isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _blocks_in(each)


def _other_types(block: Any) -> Iterator[Problem]:
    """Yields parameters of another type than float32; constants may have any."""
    parameters = block._collect_params_with_prefix()  # noqa: SLF001 - see `GluonNetwork`
    own = {name: each for name, each in parameters.items() if not isinstance(each, mx.gluon.Constant)}
    other = {name: np.dtype(each.dtype).name for name, each in own.items()}
    other = {name: dtype for name, dtype in other.items() if dtype != DTYPE}
    if other:
        listed = ", ".join(f"{name} ({dtype})" for name, dtype in list(other.items())[:3])
        text = f"{len(other)} parameters are not {DTYPE}: {listed}"
        yield Problem("model", f"{text}; leave `cast` out, hpcmtl trains in {DTYPE}")


def _sparse_values(block: Any) -> Iterator[Problem]:
    """Yields parameters whose values, not gradients, are sparse."""
    parameters = block._collect_params_with_prefix()  # noqa: SLF001 - see `GluonNetwork`
    sparse = [f"{name} ({each._stype})" for name, each in parameters.items() if each._stype != "default"]  # noqa: SLF001 - no public name
    if sparse:
        text = f"the values of {', '.join(sparse)} are sparse, which a Gluon HybridBlock cannot run"
        yield Problem("model", f"{text}; leave `stype` out, gradients alone may be sparse (`grad_stype`)")


def _unreached(block: Any) -> Iterator[Problem]:
    """Yields parameters that have no shape after a forward pass."""
    parameters = block._collect_params_with_prefix()  # noqa: SLF001 - see `GluonNetwork`
    open_ones = [name for name, each in parameters.items() if each._data is None]  # noqa: SLF001 - no public name
    if open_ones:
        text = f"a forward pass does not reach {', '.join(open_ones)}, and their shapes are not known"
        yield Problem("model", f"{text}; use the layer, leave it out, or give its sizes (in_units, in_channels)")
