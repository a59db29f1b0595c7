"""Frees this process and its children from settings of Python and of the shell that are meant for other programs.

It and what it imports use the standard library alone, since it decides where other modules come from.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import sysconfig
import threading
import warnings
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.frameworks.registry import BUILT_IN_MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping, Sequence

LIBRARIES = frozenset(
    {
        *("numpy", "scipy", "sklearn", "h5py", "mpi4py", "psutil", "yaml", "jinja2", "markupsafe", *BUILT_IN_MODULES),
        *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typer", "click", "rich", "markdown_it"),
        *("cloudpickle", "packaging", "requests", "graphviz"),
    }
)
"""Modules that hpcmtl and its built-in framework import from the environment that they are installed in."""

SAFE_PATH = "hpcmtl"
"""Value of PYTHONSAFEPATH, which may be any text, for interpreters that hpcmtl starts."""

_LAST = "HPCMTL_PYTHONPATH_LAST"
_NO_ERRORS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # what Python ignores


def leave_out_foreign(environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Keeps folders of PYTHONPATH from replacing modules of this installation.

    A folder with a library of this installation belongs to another one, and is removed from PYTHONPATH and `sys.path`;
    but if it also has a library which this installation lacks, it is a part of this one, and stays. A folder with a
    module that is named as one of Python is searched last, here and on the ranks: only that module is not found.

    Returns:
        A sentence for each folder.
    """
    given = [folder for folder in environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    own = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    given = [folder for folder in given if own.isdisjoint({Path(folder).resolve(), Path(folder).resolve().parent})]
    rest = [folder for folder in sys.path if folder not in given]
    moved, last, sentences = set(), [], []
    for folder in given:
        names = replaced_by(Path(folder), rest)
        if not names:
            continue
        moved.add(folder)
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        if LIBRARIES.isdisjoint(names):
            last.append(folder)
            how = f"is searched last, because it would replace modules of Python ({shown}); rename them"
        else:
            how = f"is left out, because it would replace modules of this installation ({shown}); unset PYTHONPATH"
        sentences.append(
            f"PYTHONPATH: {folder} {how}, and name folders of your own modules under `modules` in the job file"
        )
    if moved:
        environ["PYTHONPATH"] = os.pathsep.join(
            folder for folder in environ["PYTHONPATH"].split(os.pathsep) if folder not in moved
        )
        sys.path[:] = [folder for folder in sys.path if folder not in moved]
    last = [*environ.get(_LAST, "").split(os.pathsep), *last]
    if any(last):
        environ[_LAST] = os.pathsep.join(filter(None, last))  # launchers pass it on to the ranks
        sys.path.extend(folder for folder in filter(None, last) if folder not in sys.path)
    return sentences


def leave_out_working_directory(environ: MutableMapping[str, str] = os.environ) -> None:
    """Does what PYTHONSAFEPATH asks for, which Python 3.10 ignores: ``python -m`` searches its own folder first.

    If hpcmtl itself has set the variable, it is removed: programs that a task starts are not meant.
    """
    if sys.version_info < (3, 11) and environ.get("PYTHONSAFEPATH") and sys.path[0] in {"", str(Path.cwd())}:
        del sys.path[0]
    if environ.get("PYTHONSAFEPATH") == SAFE_PATH:
        del environ["PYTHONSAFEPATH"]


def replaced_by(folder: Path, rest: Sequence[str]) -> list[str]:
    """Returns the modules in a folder that the standard library, or a library in the folders `rest`, has as well."""
    names = _modules_in(folder)
    libraries = sorted(names & LIBRARIES)
    if folder.resolve() in {Path(each).resolve() for each in rest if each}:
        return []
    if any(PathFinder.find_spec(name, rest) is None for name in libraries):
        return []
    return [*libraries, *sorted(names & sys.stdlib_module_names)]


def _modules_in(folder: Path) -> frozenset[str]:
    """Returns the names of the modules and packages in a folder; nothing for what is no folder."""
    try:
        entries = list(folder.iterdir())
    except OSError:
        return frozenset()
    files = [entry.name for entry in entries if entry.name.endswith((".py", *EXTENSION_SUFFIXES))]
    packages = [entry.name for entry in entries if (entry / "__init__.py").is_file()]
    return frozenset({name.partition(".")[0] for name in files} | set(packages))


def ignore_strict_warnings(environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Restores Python's own treatment of warnings if PYTHONWARNINGS makes errors of some: libraries raise them in use.

    Returns:
        A sentence, if it did.
    """
    given = environ.get("PYTHONWARNINGS", "")
    if not any(item.strip().startswith("e") for item in given.split(",")):
        return []
    del environ["PYTHONWARNINGS"]
    _restore_filters()
    return [f"PYTHONWARNINGS={given} is ignored: libraries of the ranks warn in normal use"]


@contextmanager
def warnings_are_no_errors() -> Iterator[bool]:
    """Restores Python's own treatment of warnings for as long as the block lasts, if the program makes errors of some.

    Yields:
        Whether it did.
    """
    strict = any(action == "error" for action, *_ in warnings.filters)
    if not strict:
        yield False
        return
    with warnings.catch_warnings():
        _restore_filters()
        yield True


def _restore_filters() -> None:
    warnings.resetwarnings()
    for category in _NO_ERRORS:
        warnings.simplefilter("ignore", category)


def leave_inspection(environ: MutableMapping[str, str] = os.environ) -> None:
    """Starts this command again without PYTHONINSPECT, with which Python replaces the exit code by 1."""
    if environ.pop("PYTHONINSPECT", "") and sys.flags.inspect:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very command


@contextmanager
def imports() -> Iterator[None]:
    """Makes a block of imports quick, and lets Ctrl-C end the process at once meanwhile.

    Objects of modules stay: looking for garbage among them takes a sixth of the CPU time of a rank's start (0.12 of
    0.75 s), so that the collector rests, and leaves them out later as well. Python's own handler of SIGINT raises
    KeyboardInterrupt in the line that runs, which some libraries swallow: the command went on as if it had not come.
    """
    collects = gc.isenabled()
    ends = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    gc.disable()
    if ends:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ends:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if collects:
            gc.freeze()
            gc.enable()


def open_standard_streams() -> list[str]:
    """Opens those of stdin, stdout and stderr that are closed; files opened later would get their numbers.

    Returns:
        A sentence, if stdout was closed.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    return ["stdout is closed: what the command prints there is lost"] if 1 in closed else []


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
