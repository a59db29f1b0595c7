"""Holds the vocabulary: one public type name has one meaning, and names that were given up do not come back."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "hpcmtl").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
CAMEL_CASE = re.compile(r"[A-Z]+[a-z0-9][A-Za-z0-9]*$")

# Private metaphors that gave way to terms of the field; each line holds the names of one subject.
RETIRED_TEXT = """
Steersman Attended Timed Announcing
Post Newest Contribute SignOfLife open_meeting
Listed homes
Ground Mailboxes Heart Kill Hung
Regrouped DisbandedError RollCall HopelessError give_in
left_of told_by never_begun
homecoming bring_home Outset take_up TakeUp Grown GrowingJob
InOrder Punctual Past
Noted Progressed StopWanted
Tally Boundary Takeover set_shared drain_losses
Saved Checkpointing Feed HeldFile
Board TaskLine Live Kept Piece standing_of JobWord
look_closely examine_aside
Belief
"""
RETIRED = frozenset(RETIRED_TEXT.split())
# Words that must not be a part of any name either, such as `office` in `office_of`.
RETIRED_PARTS_TEXT = """
helm desk office parcel shelf handover catalogue lookout deputy condemn heirs regroup crew foresight takeover
furnish queuebound mould crowd crowding ruled stepform coarse switchboard mailbox
"""
RETIRED_PARTS = frozenset(RETIRED_PARTS_TEXT.split())


@cache
def parsed(path: Path) -> ast.Module:
    """Returns the syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def module_body(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields the statements of a module, those under `if` and `try` included."""
    for node in nodes:
        if isinstance(node, ast.If | ast.Try):
            yield from module_body([*node.body, *node.orelse])
        else:
            yield node


def defined_types(path: Path) -> Iterator[str]:
    """Yields the public classes and CamelCase type aliases that a module defines; an import is no definition."""
    for node in module_body(parsed(path).body):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        yield from (target.id for target in targets if isinstance(target, ast.Name) and CAMEL_CASE.match(target.id))


def declared_names(path: Path) -> Iterator[str]:
    """Yields the module's own name, its classes and functions, parameters, and the attributes that it reads or sets."""
    yield path.stem
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and CAMEL_CASE.match(node.id):
            yield node.id


def snake_case(name: str) -> str:
    """Returns a name in snake case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_a_type_name_has_one_meaning() -> None:
    """No two modules of the package define a public class or type alias of the same name."""
    places = defaultdict(list)
    for path in SOURCES:
        for name in defined_types(path):
            places[name].append(str(path.relative_to(ROOT)))

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("folder", ["hpcmtl", "tests"])
def test_retired_names_stay_away(folder: str) -> None:
    """No module, class, function, parameter or attribute has a name that was given up."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (SOURCES if folder == "hpcmtl" else TESTS)
        for name in declared_names(path)
        if name.strip("_") in RETIRED or RETIRED_PARTS & set(snake_case(name).split("_"))
    }

    assert found == set()
