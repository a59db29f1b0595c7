"""Numbers of results that have no value: NaN with a reason in Python, null and the reason in JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


class UndefinedValue(float):
    """A number without a value: NaN, which no comparison prefers, with the reason."""

    def __new__(cls, _reason: str) -> Self:
        """Returns NaN."""
        return super().__new__(cls, math.nan)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __reduce__(self) -> tuple[type[UndefinedValue], tuple[str]]:
        """Returns the parts from which another process makes the value again."""
        return UndefinedValue, (self.reason,)


def reason_of(value: float) -> str | None:
    """Returns the reason for which a number has no value; None if it has one."""
    if isinstance(value, UndefinedValue):
        return value.reason
    return None if isinstance(value, int) or math.isfinite(value) else f"the value is {value}"


def reasons(values: Mapping[str, float]) -> dict[str, str]:
    """Returns the reasons for which some numbers have no value, by their names."""
    return {name: text for name, value in values.items() if (text := reason_of(value)) is not None}


def with_nulls(values: Mapping[str, float]) -> dict[str, float | None]:
    """Returns numbers for JSON: None for those without a value."""
    return {name: value if reason_of(value) is None else None for name, value in values.items()}


def from_nulls(values: Mapping[str, float | None], undefined: Mapping[str, str]) -> dict[str, float]:
    """Returns the numbers of `with_nulls` and their `reasons`."""
    return {
        name: UndefinedValue(undefined.get(name, "unknown")) if value is None else value
        for name, value in values.items()
    }


def to_facts(values: Mapping[str, float]) -> dict[str, Any]:
    """Returns numbers as JSON values from which `from_facts` reads them back, with their reasons."""
    return {
        name: value if (text := reason_of(value)) is None else {"undefined": text} for name, value in values.items()
    }


def from_facts(facts: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of `to_facts`."""
    return {
        name: UndefinedValue(value["undefined"]) if isinstance(value, dict) else value for name, value in facts.items()
    }
