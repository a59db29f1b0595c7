"""Entry points of installed packages, by which they add frameworks and task kinds; each group is searched once."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def installed(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Returns the entry points of a group by their names; a search of the environment takes tens of milliseconds."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=group):  # a package that is found by two paths is one package
        found.setdefault(point.name, {})[point.value] = point
    return {name: tuple(points.values()) for name, points in found.items()}


def package_of(point: EntryPoint) -> str:
    """Returns the name of the package that has an entry point, for messages."""
    return f"package {point.dist.name}" if point.dist else "an unknown package"
