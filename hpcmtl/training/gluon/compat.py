"""Importing mxnet 1.9.1 and Horovod: what their age needs, and why an import that fails does so.

mxnet 1.9.1 reads ``numpy.bool``, which numpy took away in 1.24 (measured: 1.23.5, 1.24.4 and 1.26.4 train with the
alias put back; numpy 2 lacks more, and fails). Half of the time that its import takes goes into libraries which only
parts of it want that no task needs.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOTSTRAP = "launchers/bootstrap.sh installs what fits"

# What the import of mxnet warns of, all of it about mxnet's own lines, by message and category.
_KNOWN_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    (r"In accordance with NEP 32, the function \w+ was removed", DeprecationWarning),
    (r"distutils Version classes are deprecated", DeprecationWarning),
    (r"`np\.\w+` is a deprecated alias", DeprecationWarning),
    (r"In the future `np\.\w+` will be defined as", FutureWarning),
)
# What mxnet imports if it is there, for its FeedForward, its quantisation and its tests of random numbers.
_NOT_NEEDED = ("scipy.stats", "sklearn")


def import_mxnet() -> Any:
    """Return the module ``mxnet``, imported in the way that works with the numpy of this environment.

    The first call takes one to two seconds.

    Raises:
        EnvironmentUnfitError: mxnet is missing, or does not go with this numpy.
    """
    if int(np.__version__.split(".")[0]) >= 2:
        raise EnvironmentUnfitError(
            f"mxnet 1.9.1 does not work with numpy {np.__version__}: install 'numpy>=1.23,<2' ({_BOOTSTRAP})"
        )
    if "bool" not in vars(np):
        np.bool = bool  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        for message, category in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        with _hidden(() if "mxnet" in sys.modules else _NOT_NEEDED):
            return _import("mxnet", "mxnet==1.9.1")


def import_horovod() -> Any:
    """Return the module ``horovod.mxnet`` of a Horovod that has MXNet, MPI and Gloo built in.

    Raises:
        EnvironmentUnfitError: Horovod is missing, or was built without one of the three; the message says which.
    """
    import_mxnet()
    horovod = _import("horovod.mxnet", "Horovod")
    built = {"MPI": horovod.mpi_built(), "Gloo": horovod.gloo_built()}
    missing = [name for name, there in built.items() if not there]
    if missing:
        raise EnvironmentUnfitError(f"Horovod was built without {' and '.join(missing)}: {_BOOTSTRAP}")
    return horovod


@contextmanager
def _hidden(modules: tuple[str, ...]) -> Iterator[None]:
    """Let modules that are not yet imported look as if they were not installed."""
    hidden: dict[str, Any] = {name: None for name in modules if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _import(module: str, title: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise EnvironmentUnfitError(f"{title} is not installed ({error}): {_BOOTSTRAP}") from error
    except (ImportError, OSError, AttributeError) as error:
        # Horovod's own word for a build without MXNet is an ImportError of several lines; a library that the loader
        # does not find is an OSError.
        reason = "was built without MXNet" if "has not been built" in str(error) else "cannot be imported"
        first = str(error).partition("\n")[0]
        raise EnvironmentUnfitError(f"{title} {reason} ({first}): {_BOOTSTRAP}") from error
