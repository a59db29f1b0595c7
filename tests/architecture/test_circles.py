"""No circle of imports: a module can be read, tested and moved without a module that depends on it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "hpcmtl").rglob("*.py"))
}


def imported(path):
    """Returns the modules of the package that a file imports, in functions and under TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


def circles(graph):
    """Returns the strongly connected components with an edge inside: modules that reach each other."""
    reach = {module: reachable(graph, module) for module in graph}
    return {frozenset(other for other in reach[module] if module in reach[other]) for module in graph} - {frozenset()}


def reachable(graph, start):
    """Returns all modules on a path that leaves `start`; `start` itself only if it lies on a circle."""
    found, pending = set(), [start]
    while pending:
        fresh = graph[pending.pop()] - found
        found |= fresh
        pending += fresh
    return found


def test_the_search_finds_a_circle():
    """Three modules on one circle are found, and a module that only imports them is not."""
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}

    assert circles(graph) == {frozenset("abc")}


def test_no_circle_of_imports():
    """No module imports itself through others, imports in functions and for types included."""
    found = circles({module: imported(path) for module, path in MODULES.items()})

    assert [sorted(circle) for circle in found] == []
