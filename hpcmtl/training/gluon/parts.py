"""Parts of a Gluon network by name, and the network up to the output of a part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, nearest, reason_of
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.network_inputs import input_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.networks.input_values import InputValues

mx = import_mxnet()


def part_of(block: Any, part: str) -> Any:
    """Returns the block inside another by its name in the job: attributes and children, joined by dots.

    Examples are ``encoder``, ``features.3`` and ``5``, the sixth child of a sequential network.

    Raises:
        InputError: there is no such block.
    """
    found = block
    for step in part.split("."):
        children = found._children  # noqa: SLF001 - Gluon has no public access by name
        inner = children[step] if step in children else getattr(found, step, None)
        if not isinstance(inner, mx.gluon.HybridBlock):
            text = f"{type(found).__name__} has no block {step!r}{nearest(step, _names_of(found))}"
            raise InputError([Problem(f"part {part}", text)])
        found = inner
    return found


def _names_of(block: Any) -> list[str]:
    """Returns the names of the blocks inside a block."""
    attributes = [name for name, value in vars(block).items() if isinstance(value, mx.gluon.HybridBlock)]
    return list(dict.fromkeys([*block._children, *attributes]))  # noqa: SLF001 - Gluon has no public access by name


def up_to(block: Any, part: str, values: Mapping[str, InputValues]) -> Any:
    """Returns a block that computes what a part of a network puts out when the whole network runs on samples.

    The part alone would be another function: its input is not the input of the network, unless it comes first.

    Raises:
        InputError: there is no such part, or it does not run exactly once.
    """
    found, seen = part_of(block, part), []
    handle = found.register_forward_hook(lambda _block, _inputs, output: seen.append(output))
    samples = [mx.sym.var(f"data{n}", dtype=input_type(each).name) for n, each in enumerate(values.values())]
    try:
        block(*samples)
    except (Exception, SystemExit) as error:
        text = f"the network cannot be traced by symbols: {reason_of(error)}"
        raise InputError([Problem(f"part {part}", text)]) from error
    finally:
        handle.detach()
    if len(seen) != 1 or not isinstance(seen[0], mx.sym.Symbol):
        text = f"it runs {len(seen)} times in a forward pass, with {type(seen[0]).__name__ if seen else 'no'} output"
        raise InputError(
            [Problem(f"part {part}", f"{text}; a part that can be stored runs once, and puts out one array")]
        )
    made = mx.gluon.SymbolBlock(seen[0], samples, params=block.collect_params())
    made.hybridize(static_alloc=True)
    return made
