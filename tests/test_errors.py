"""Words that errors share: the name that was probably meant, and the place of an error in a user's code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import close_to, reason_of

OPTIMIZERS = ("sgd", "adam", "adamw", "adamax", "lars")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("AdamW", "adamw"), ("ADAM", "adam"), ("Adamx", "adamax"), ("sdg", "sgd"), ("zzz", None)],
)
def test_the_case_of_letters_is_left_out(name: str, meant: str | None) -> None:
    """A name in other letters is that name, before any that only looks like it."""
    assert close_to(name, OPTIMIZERS) == meant


def test_names_of_other_libraries() -> None:
    """They give the name here, unless the list has them as well."""
    assert close_to("LR", ["layers", "learning_rate"]) == "learning_rate"
    assert close_to("MSE", ["l2", "mse"]) == "mse"
    assert close_to("mse", ["l2", "l1"]) == "l2"


@given(st.sets(st.text("abcAB_", min_size=1, max_size=6), min_size=1), st.data())
def test_any_other_case_of_a_valid_name_finds_it(names: set[str], data: st.DataObject) -> None:
    """The name that is found differs by case alone."""
    name = data.draw(st.sampled_from(sorted(names)))
    found = close_to(name.swapcase(), names)

    assert found is not None
    assert found.lower() == name.lower()


def test_an_error_has_the_place_in_the_users_code() -> None:
    """The last frame that is neither of hpcmtl nor installed; an error of another origin has no place."""

    def fails() -> None:
        raise ValueError("found 3\nand more")

    with pytest.raises(ValueError, match="found 3") as raised:
        fails()
    line = fails.__code__.co_firstlineno + 1

    assert reason_of(raised.value) == f"ValueError: found 3 ({__file__}:{line})"
    assert reason_of(KeyError()) == "KeyError"
