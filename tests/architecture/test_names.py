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
FOLDERS = ("hpcmtl", "tests", "benchmarks", "datasets", "examples")
FILES = {folder: sorted((ROOT / folder).rglob("*.py")) for folder in FOLDERS}
SOURCES = FILES["hpcmtl"]
CAMEL_CASE = re.compile(r"[A-Z]+[a-z0-9][A-Za-z0-9]*$")

# Private metaphors that gave way to terms of the field; each line holds the names of one subject.
RETIRED_TEXT = """
carry_out
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
# Words that must not be a part of any name or text either, such as `office` in `office_of`.
RETIRED_PARTS_TEXT = """
helm desk office parcel shelf handover catalogue lookout deputy condemn heir regroup crew foresight takeover
furnish queuebound mould crowd crowding ruled stepform coarse switchboard mailbox mailboxe beat
"""
RETIRED_PARTS = frozenset(RETIRED_PARTS_TEXT.split())
RETIRED_PHRASES = ("sign of life", "signs of life", "stopped beating")

# file -> retired words in it, which are keys of files that earlier versions wrote.
KEYS_OF_EARLIER_VERSIONS = {
    "hpcmtl/results/event_format.py": {"handover_seconds"},
    "hpcmtl/results/status/snapshot.py": {"rank_beats", "seconds_between_beats"},
    "tests/results/test_older_ledgers.py": {"handover_seconds"},
    "tests/results/status/test_snapshot.py": {"rank_beats", "seconds_between_beats"},
}


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


def retired_words(text: str) -> set[str]:
    """Returns the words and names in a text that have a retired part, in the singular or the plural."""
    words = set(re.findall(r"[A-Za-z_]+", text))
    return {word for word in words if RETIRED_PARTS & {part.removesuffix("s") for part in snake_case(word).split("_")}}


def test_a_type_name_has_one_meaning() -> None:
    """No two modules of the package define a public class or type alias of the same name."""
    places = defaultdict(list)
    for path in SOURCES:
        for name in defined_types(path):
            places[name].append(str(path.relative_to(ROOT)))

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_array_types_are_defined_once() -> None:
    """No test, benchmark or example defines a type of arrays again that the package has."""
    ours = set(defined_types(ROOT / "hpcmtl/arrays.py"))
    others = (path for folder in FOLDERS for path in FILES[folder] if path != ROOT / "hpcmtl/arrays.py")

    assert {str(path.relative_to(ROOT)): again for path in others if (again := ours & set(defined_types(path)))} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_retired_names_stay_away(folder: str) -> None:
    """No module, class, function, parameter or attribute has a name that was given up."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in FILES[folder]
        for name in declared_names(path)
        if name.strip("_") in RETIRED or retired_words(name)
    }

    assert found == set()


def test_a_retired_word_is_found_in_each_form() -> None:
    """The search finds a word in a class, a plural, a constant and a key of a string, and no word that contains it."""
    text = "class CrewList: PARCELS = 1  # two mailboxes\nstatus['rank_beats'] = 'seconds_between_heartbeats, scrawled'"

    assert retired_words(text) == {"CrewList", "PARCELS", "mailboxes", "rank_beats"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_retired_words_stay_out_of_the_text(folder: str) -> None:
    """No name, key, message, docstring or comment has a word that was given up; keys of earlier versions are listed."""
    found = {}
    for path in sorted({*FILES[folder]} - {Path(__file__)}):
        file, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        words = retired_words(text) | {phrase for phrase in RETIRED_PHRASES if phrase in text.lower()}
        found[file] = words - KEYS_OF_EARLIER_VERSIONS.get(file, set())

    assert {file: words for file, words in found.items() if words} == {}


def test_keys_of_earlier_versions_are_still_read() -> None:
    """Each exception to the retired words stands in its file, so that the list cannot outlive its reasons."""
    for file, words in KEYS_OF_EARLIER_VERSIONS.items():
        assert retired_words((ROOT / file).read_text(encoding="utf-8")) == words
