"""No circle of imports: a module can be read, tested and moved without a module that depends on it.

Import statements are searched, and no imports by a computed name. These are listed here, since one of them closes a
circle at run time on purpose: the table of task kinds, see decision 23.
"""

import ast
from pathlib import Path

from hpcmtl.jobfile.kind_registry import BUILT_IN

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "hpcmtl").rglob("*.py"))
}


# Files that import modules by computed names, and the reason.
BY_NAME = {
    "hpcmtl/__init__.py": "the public names of the package, at their first use",
    "hpcmtl/frameworks/registry.py": "the room of a framework",
    "hpcmtl/loading.py": "libraries that are imported in a special way",
    "hpcmtl/jobfile/kind_registry.py": "the kinds of tasks, which import `jobfile`",
    "hpcmtl/jobfile/resolve.py": "modules of users",
    "hpcmtl/training/gluon/compat.py": "MXNet and Horovod",
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


def test_imports_by_name_are_known():
    """Only the listed files import by a computed name, and the table of kinds names `training/kinds` alone."""
    found = {
        str(path.relative_to(ROOT)) for path in MODULES.values() if "import_module(" in path.read_text(encoding="utf-8")
    }

    assert found == BY_NAME.keys()
    assert {target.partition(":")[0].rpartition(".")[0] for target in BUILT_IN.values()} == {"hpcmtl.training.kinds"}
    assert {target.partition(":")[0] for target in BUILT_IN.values()} <= MODULES.keys()
