"""Resolves ``package.module:attribute``, the name of a model, loss, optimizer or callable of the user's."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from contextlib import suppress
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, users_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_folders: list[str] = []
_added: list[str] = []  # those of them that were not in sys.path


def add_module_folders(folders: Iterable[str]) -> None:
    """Lets users' modules in some folders be imported.

    They are searched last: a `queue.py` or `yaml.py` among them replaces no module of Python or of a library.
    """
    for folder in dict.fromkeys(folders):
        if folder not in sys.path:
            sys.path.append(folder)
            _added.append(folder)
        if folder not in _folders:
            _folders.append(folder)


def remove_module_folders(folders: Iterable[str]) -> None:
    """Ends what `add_module_folders` has begun."""
    for folder in dict.fromkeys(folders):
        if folder in _added:
            _added.remove(folder)
            sys.path.remove(folder)
        if folder in _folders:
            _folders.remove(folder)


def colon_form(name: str) -> str | None:
    """Returns ``package.module:attribute`` for ``package.module.attribute``; None for a name without dots."""
    module, _, attribute = name.rpartition(".")
    return f"{module}:{attribute}" if all(map(str.isidentifier, (*module.split("."), attribute))) else None


def resolve(name: str) -> Any:
    """Imports the object that a name refers to.

    Raises:
        InputError: there is no such module or attribute, its import fails, or another module has its name.
    """
    module, _, attribute = name.partition(":")
    where = "installed modules, and those in the folders of `modules` (default: beside the job file), are found"
    try:
        found = importlib.import_module(module)
        for name_of_module in (module.partition(".")[0], *_imported_by_own_modules()):
            _require_own(name_of_module)
        return getattr(found, attribute)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # a script that is no module ends itself when it is imported
        _require_own(module.partition(".")[0])
        text = f"cannot be imported ({type(error).__name__}: {error}){users_place(error)}"
        raise InputError([Problem(name, f"{text}; {where}")]) from error


def _imported_by_own_modules() -> Iterator[str]:
    """Yields the names that modules of the user's import, without those of Python: another module may have them.

    A `utils` beside the job file is not found where a `utils` is installed, and neither says so.
    """
    folders = tuple(f"{Path(folder)}{os.sep}" for folder in _folders)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is not None and file.startswith(folders):
            yield from _imported_by(file)


@cache
def _imported_by(file: str) -> frozenset[str]:
    """Returns the names of the modules that a module imports, read once: every model, loss and callable asks."""
    found: set[str] = set()
    with suppress(OSError, SyntaxError, ValueError):  # a compiled module
        for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(each.name.partition(".")[0] for each in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return frozenset(found - sys.stdlib_module_names)


def _require_own(module: str) -> None:
    """Refuses a module of the user's whose name another module has, which is imported in its place.

    Raises:
        InputError: there are two.
    """
    own = PathFinder.find_spec(module, _folders)
    if module not in sys.modules or own is None or own.origin is None:
        return
    file = getattr(sys.modules[module], "__file__", None)
    if file is None or not _are_alike(Path(file), Path(own.origin)):
        text = f"has the name of another module ({file or 'built into Python'}), which is imported instead; rename it"
        raise InputError([Problem(own.origin, text)])


def _are_alike(one: Path, other: Path) -> bool:
    """Returns true for one file, and for copies of it."""
    return one.resolve() == other.resolve() or (one.is_file() and one.read_bytes() == other.read_bytes())
