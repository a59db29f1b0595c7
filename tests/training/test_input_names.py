"""Inputs of a job go to the arguments of a forward pass that have their names."""

import pytest

from hpcmtl.errors import InputError
from hpcmtl.training.input_names import arguments_of, in_order


def two(table, image):
    """Needs two inputs."""


def optional(table, image=None, *, mask=None):
    """Needs one of three."""


def any_names(table, **inputs):
    """Takes one by name, and any others."""


def any_places(*inputs):
    """Takes any number."""


@pytest.mark.parametrize(
    ("function", "given", "order"),
    [
        (two, ("image", "table"), ("table", "image")),
        (optional, ("mask", "table"), ("table", "mask")),
        (optional, ("table",), ("table",)),
        (optional, ("input",), ("input",)),
        (any_names, ("x", "table", "a"), ("table", "a", "x")),
        (any_places, ("b", "a"), ("a", "b")),
        (any_places, ("input",), ("input",)),
        (max, ("b", "a"), ("a", "b")),
    ],
)
def test_order(function, given, order):
    """The order is that of the arguments; what they leave open is in the order of the names."""
    assert in_order(arguments_of(function), given) == order


@pytest.mark.parametrize(
    ("function", "given", "said"),
    [
        (two, ("input",), "takes inputs by name: write `input: {table: SOURCE/ARRAY, image: SOURCE/ARRAY}`"),
        (two, ("table",), "is given no 'image'"),
        (two, ("table", "image", "tabel"), "takes no input 'tabel'"),
        (optional, ("image",), "is given no 'table'"),
        (optional, ("table", "masks"), "takes no input 'masks'; did you mean 'mask'?"),
        (any_names, ("x",), "is given no 'table'"),
    ],
)
def test_refusals(function, given, said):
    """Inputs that no argument takes, and arguments without an input, are named."""
    with pytest.raises(InputError) as raised:
        in_order(arguments_of(function), given)

    assert said in str(raised.value)
    assert raised.value.problems[0].where == "input"
