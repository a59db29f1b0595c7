"""Heads of a joint network that take outputs of other heads: what each takes, and the order of their computation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpcmtl.networks.input_values import INPUT
from hpcmtl.networks.shapes import ShapeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.networks.shapes import InputShapes, Shape

TRUNK = "trunk"
"""Name of the output of the trunk among the inputs of a head."""
GradientRule = Literal["pass", "stop"]


@dataclass(frozen=True)
class HeadInputs:
    """The inputs of one head, where it takes more than the output of the trunk.

    Attributes:
        names: `TRUNK` and other heads, in the order in which they are joined.
        gradient: whether the loss of this head trains the other heads that it takes outputs of.
    """

    names: tuple[str, ...]
    gradient: GradientRule = "pass"

    @property
    def heads(self) -> tuple[str, ...]:
        """Returns the other heads among the inputs."""
        return tuple(name for name in self.names if name != TRUNK)


class HeadShapeError(ShapeError):
    """Reports inputs that a head cannot take.

    Attributes:
        head: name of the head.
    """

    def __init__(self, head: str, text: str) -> None:
        super().__init__(f"head {head}: {text}")
        self.head = head


def order_of_heads(names: Sequence[str], inputs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns heads so that each comes after those that it takes outputs of, else in the order given.

    Args:
        names: the heads.
        inputs: head -> its inputs; names that are no heads do not matter.

    Raises:
        ValueError: heads wait for each other; the message is the cycle.
    """
    done: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(" -> ".join((*path[path.index(name) :], name)))
        if name in done or name not in names:
            return
        for each in inputs.get(name, ()):
            visit(each, (*path, name))
        done.append(name)

    for name in names:
        visit(name, ())
    return tuple(done)


def joined_samples(head: str, given: Mapping[str, Shape], taken: Sequence[str] | None) -> InputShapes:
    """Returns the shapes of the samples that a head takes.

    Args:
        head: name of the head.
        given: name of each of its inputs -> shape of one sample.
        taken: names of the inputs of its network; None where only building the network shows them, which is then taken
            for a network of one input.

    Raises:
        HeadShapeError: they cannot be joined, or the network takes other inputs.
    """
    if not joins(taken):
        assert taken is not None
        if set(taken) != set(given):
            text = f"its network takes {' and '.join(taken)}, and is given {' and '.join(given)}"
            raise HeadShapeError(head, f"{text}; write `inputs: [{', '.join(taken)}]`")
        return dict(given)
    shapes = list(given.values())
    if len({each[:-1] for each in shapes}) > 1 or (len(shapes) > 1 and not all(shapes)):
        listed = " and ".join(f"{shape} ({name})" for name, shape in given.items())
        text = f"inputs of shapes {listed} cannot be joined on the last axis"
        raise HeadShapeError(head, f"{text}; use a network with an input for each by name, as fusion")
    return {INPUT: shapes[0] if len(shapes) == 1 else (*shapes[0][:-1], sum(each[-1] for each in shapes))}


def joins(taken: Sequence[str] | None) -> bool:
    """Returns whether a network takes its inputs joined to one, not by their names."""
    return taken is None or tuple(taken) == (INPUT,)
