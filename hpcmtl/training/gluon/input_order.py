"""The order in which a Gluon block takes the inputs of a job: MXNet calls blocks with arguments by their places."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.input_names import arguments_of, in_order

if TYPE_CHECKING:
    from collections.abc import Collection

mx = import_mxnet()
_HybridBlock: Any = mx.gluon.HybridBlock


class EnclosingBlock(_HybridBlock):
    """A block whose inputs go to one block inside it, which is `first`."""

    @property
    def first(self) -> Any:
        """The block that takes the inputs."""
        raise NotImplementedError


def input_order(block: Any, given: Collection[str]) -> tuple[str, ...]:
    """Returns the names of inputs in the order in which a block takes them.

    Raises:
        InputError: it takes other inputs, or leaves out one before another that it takes.
    """
    arguments = input_arguments(block)
    order = in_order(arguments, given)
    known = [each.name for each in arguments if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    left_out = [name for name in known[: len(order)] if name not in order]
    if len(order) > 1 and left_out:
        text = f"the network takes {left_out[0]} before {order[-1]}, and MXNet gives inputs by their places"
        raise InputError([Problem("input", f"{text}: name an array for it as well")])
    return order


def input_arguments(block: Any) -> list[inspect.Parameter]:
    """Returns the arguments of a block's forward pass that are inputs."""
    return _arguments(_innermost(block))


def number_of_inputs(block: Any) -> int:
    """Returns the number of inputs that a block needs, at least one."""
    needed = [each for each in input_arguments(block) if each.default is each.empty]
    return max(sum(each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for each in needed), 1)


def _innermost(block: Any) -> Any:
    """Returns the block inside others that takes their inputs."""
    while isinstance(block, EnclosingBlock):
        block = block.first
    return block


def _arguments(block: Any) -> list[inspect.Parameter]:
    """Returns the arguments of a block's forward pass that are inputs: none of its parameters, and not `F`."""
    if not isinstance(block, _HybridBlock) or type(block).hybrid_forward is _HybridBlock.hybrid_forward:
        return arguments_of(block.forward)
    parameters = block._reg_params  # noqa: SLF001 - that MXNet gives as arguments by name
    return [each for each in arguments_of(block.hybrid_forward)[1:] if each.name not in parameters and not _rest(each)]


def _rest(argument: inspect.Parameter) -> bool:
    """Returns whether an argument takes parameters of any name."""
    return argument.kind is inspect.Parameter.VAR_KEYWORD
