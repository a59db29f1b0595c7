"""Numbers are strict in every field, whatever its name is and however deep it lies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import Field, ValidationError

from hpcmtl.networks.spec import Spec
from hpcmtl.networks.strict import misplaced_texts


class Inner(Spec):
    """A model inside of another, with fields that have the names of pydantic's own keys."""

    type: int = 0
    function: float = 0.0
    config: bool = False
    default: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"


class Outer(Spec):
    """A model with numbers in all kinds of fields."""

    inner: Inner = Inner()
    many: tuple[int, ...] = ()
    named: dict[str, float] = {}
    maybe: int | None = None
    free: dict[str, Any] = {}


@pytest.mark.parametrize(
    "keys",
    [
        {"inner": {"type": True}},
        {"inner": {"type": "4"}},
        {"inner": {"function": "1.5"}},
        {"inner": {"function": float("nan")}},
        {"inner": {"config": 1}},
        {"inner": {"config": "yes"}},
        {"inner": {"default": "1.5"}},
        {"inner": {"default": True}},
        {"many": [1, True]},
        {"named": {"a": "2"}},
        {"maybe": "3"},
        {"maybe": False},
    ],
)
def test_other_values_are_no_numbers(keys: dict[str, Any]) -> None:
    """Texts, truth values and what is not finite are refused."""
    with pytest.raises(ValidationError):
        Outer.model_validate(keys)


def test_numbers_of_all_types_are_taken() -> None:
    """Whole floats, numpy's numbers and whole numbers for fractions are numbers; free values stay as they are."""
    made = Outer.model_validate(
        {
            "inner": {"type": 4.0, "function": 2, "default": 1.5, "config": True},
            "many": [np.int64(3), 1e3],
            "named": {"a": np.float32(0.5)},
            "maybe": None,
            "free": {"text": "1", "truth": True},
        }
    )

    assert (made.inner.type, made.inner.function, made.inner.default, made.many) == (4, 2.0, 1.5, (3, 1000))
    assert (made.named, made.free) == ({"a": 0.5}, {"text": "1", "truth": True})


def network(width: int, rate=0.5, bias=True, size: float = None, kind="3", **more: Any) -> None:  # noqa: RUF013
    """Takes a number, and more with types or defaults."""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"width": "4"}, ["width is '4', a text; write the number without quotes"]),
        ({"rate": "1e-3", "size": "2"}, ["rate is '1e-3'", "size is '2'"]),
        ({"bias": "no"}, ["bias is 'no', a text, which counts as true; write true or false, without quotes"]),
        ({"bias": "0"}, ["bias is '0', a text, which counts as true"]),
        ({"width": 4, "rate": "auto", "bias": "both", "kind": "3", "other": "4"}, []),
        ({"rate": 1, "bias": False, "size": None}, []),
    ],
)
def test_texts_in_place_of_values_of_a_callable(arguments: dict[str, Any], said: list[str]) -> None:
    """Its types and defaults tell where a number or a truth value in quotes is a mistake; other texts are its own."""
    found = list(misplaced_texts(network, arguments))

    assert [text.startswith(words) for text, words in zip(found, said, strict=True)] == [True] * len(said)


def test_a_callable_without_a_signature_takes_anything() -> None:
    """Some callables of C do not tell their parameters."""
    assert list(misplaced_texts(min, {"key": "4"})) == []
