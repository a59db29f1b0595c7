"""Views of arrays that do not lie in the host's memory: copies, which are copied back.

The protocol of a learner promises that a write to a view changes the learner's array, until the next call of another
method. So a learner on a GPU lends copies, and copies them back at the beginning of its next method.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

F = TypeVar("F", bound="Callable[..., Any]")


class HostCopies:
    """Copies of arrays of a device, as long as they are lent."""

    def __init__(self) -> None:
        self._lent: dict[str, tuple[np.ndarray[Any, Any], Callable[[np.ndarray[Any, Any]], None]]] = {}

    def lend(
        self, name: str, copy: np.ndarray[Any, Any], take: Callable[[np.ndarray[Any, Any]], None]
    ) -> np.ndarray[Any, Any]:
        """Notes a copy, with the function that copies its values back to the device; returns the copy."""
        self._lent[name] = copy, take
        return copy

    def take_back(self) -> None:
        """Copies all lent arrays back to the device."""
        lent, self._lent = self._lent, {}
        for copy, take in lent.values():
            take(copy)


class _Lender(Protocol):
    copies: HostCopies


def after_taking_back(method: F) -> F:
    """Returns a method of a learner that first copies back what the learner has lent."""

    @wraps(method)
    def called(self: _Lender, *arguments: Any, **options: Any) -> Any:
        self.copies.take_back()
        return method(self, *arguments, **options)

    return cast("F", called)
