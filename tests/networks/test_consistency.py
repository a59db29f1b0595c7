"""Consistency losses compare as many values of both heads, or are refused with both numbers."""

from __future__ import annotations

import pytest

from hpcmtl.networks.consistency import Consistency, consistency_problem, table_matrix

PARITY = table_matrix((0, 1, 0, 1))


def between(loss: str = "kl", values: tuple[str, str] = ("softmax", "softmax"), rows: object = None) -> Consistency:
    """A loss between the heads digit and parity."""
    return Consistency(name="agree", heads=("digit", "parity"), loss=loss, values=values, map=rows)


def test_a_table_is_a_matrix_of_zeros_and_ones() -> None:
    """Row i has its one at the class that class i is mapped to."""
    assert PARITY == ((1, 0), (0, 1), (1, 0), (0, 1))


@pytest.mark.parametrize(
    ("consistency", "first", "second"),
    [
        (between(), (3,), (3,)),
        (between(rows=PARITY), (4,), (2,)),
        (between(values=("softmax", "sigmoid"), rows=PARITY), (4,), (1,)),
        (between("l2", ("softmax", "plain"), ((0.0,), (1.0,), (2.0,))), (3,), ()),
        (between("l2", ("sigmoid", "sigmoid")), (5,), (5,)),
        (between("own:loss"), (5,), (2,)),
        (between(), None, (3,)),
    ],
)
def test_what_fits(consistency: Consistency, first: tuple[int, ...] | None, second: tuple[int, ...]) -> None:
    """A single output of sigmoid_bce is two classes; what is not known is not refused."""
    assert consistency_problem(consistency, first, second) is None


@pytest.mark.parametrize(
    ("consistency", "first", "second", "text"),
    [
        (between(), (4,), (2,), "digit has 4 values and parity has 2; add a `map`"),
        (between(rows=PARITY), (5,), (2,), "`map` is from 4 values to 2, but digit has 5 values"),
        (between(rows=PARITY), (4,), (3,), "and parity has 3"),
        (between("js", ("sigmoid", "softmax")), (3,), (3,), "js compares classes, but digit has 3 labels a sample"),
    ],
)
def test_what_does_not_fit(
    consistency: Consistency, first: tuple[int, ...], second: tuple[int, ...], text: str
) -> None:
    """The message has both numbers and the remedy."""
    assert text in str(consistency_problem(consistency, first, second))
