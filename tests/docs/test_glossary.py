"""Compares the glossary with the public types of the package."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(
    r"^\| \*\*(.+?)\*\* \| (.*?) ?\| (.+) \|$", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE
)
WORDS = [word for word, _, _ in ROWS]
CODE = [name for _, code, _ in ROWS for name in re.findall(r"`(\w+)`", code)]

# Modules whose values cross a seam: their frozen dataclasses are nouns that a reader has to know.
SEAMS = (
    "dispatch/protocol.py",
    "exchange/parameter_server.py",
    "layerplan/plan.py",
    "taskgraph/graph.py",
    "training/learner.py",
    "training/framework.py",
    "training/network_facts.py",
    "training/session.py",
)
# The words with which the design is told.
DESIGN = """
job, task, edge, layer, rank, world, group, layer plan, objective, weighting, collective, synchronisation strategy,
compressor, aggregator, artifact, coordinator, scheduler, event, ledger, run directory
"""


def classes(path: Path) -> list[ast.ClassDef]:
    """Returns the public classes that a module defines."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return [node for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def is_protocol(node: ast.ClassDef) -> bool:
    """Tells whether a class is a Protocol."""
    return any("Protocol" in ast.unparse(base) for base in node.bases)


def is_frozen(node: ast.ClassDef) -> bool:
    """Tells whether a class is a frozen dataclass."""
    return any("frozen=True" in ast.unparse(decorator) for decorator in node.decorator_list)


def room_of(path: Path) -> str:
    """Returns the room of a module: the first folder, or the module itself."""
    return path.relative_to(ROOT / "hpcmtl").with_suffix("").parts[0]


def imported(path: Path) -> set[tuple[str, str]]:
    """Returns the (module, name) that a file imports from other rooms, in functions and under TYPE_CHECKING too."""
    nodes = (each for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(each, ast.ImportFrom))
    pairs = {(str(node.module), alias.name) for node in nodes for alias in node.names}
    return {(module, name) for module, name in pairs if module.split(".")[1:2] != [room_of(path)]}


MODULES = sorted((ROOT / "hpcmtl").rglob("*.py"))
DEFINED = {
    (".".join(path.relative_to(ROOT).with_suffix("").parts), node.name) for path in MODULES for node in classes(path)
}
NOUNS = {
    node.name
    for path in MODULES
    for node in classes(path)
    if is_protocol(node) or (is_frozen(node) and str(path.relative_to(ROOT / "hpcmtl")) in SEAMS)
}
ROOMS = defaultdict(set)
for _path in MODULES:
    for _each in DEFINED & imported(_path):
        ROOMS[_each].add(room_of(_path))
SHARED = {name for (_, name), rooms in ROOMS.items() if len(rooms) > 1}
# Values that one room alone imports, or none, but which the guides explain.
EXPLAINED = {"RunState", "ArtifactDescription", "Replica"}


def test_each_term_has_one_entry() -> None:
    """No term, and no type of the package, stands in two rows."""
    assert [word for word, count in Counter([*WORDS, *CODE]).items() if count > 1] == []
    assert 80 <= len(WORDS) <= 170


def test_the_words_of_the_design_are_there() -> None:
    """Each word with which the design is told has an entry."""
    assert [word for word in DESIGN.replace("\n", " ").split(",") if word.strip() not in WORDS] == []


def test_each_public_noun_has_an_entry() -> None:
    """Each public Protocol, and each frozen value of a seam's module, is named by exactly one term."""
    assert sorted(NOUNS - set(CODE)) == []


def test_each_shared_class_has_an_entry() -> None:
    """Each public class that two or more other rooms import is named by exactly one term, see decision 28."""
    assert {"RunEvent", "RunDirectory", "Heartbeat", "Device", "Checkpoint"} <= SHARED
    assert sorted((SHARED | EXPLAINED) - set(CODE)) == []


def test_each_type_that_is_named_exists() -> None:
    """A type in the glossary is a public class of the package."""
    defined = {node.name for path in MODULES for node in classes(path)}

    assert sorted(set(CODE) - defined) == []
