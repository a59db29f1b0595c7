"""Imports of mxnet 1.9.1 and Horovod, with the workarounds for their age and with readable errors.

mxnet 1.9.1 uses ``numpy.bool``, which numpy 1.24 removed. With the alias restored it trains with numpy 1.23.5, 1.24.4
and 1.26.4 (measured); numpy 2 lacks more, and fails. Half of the import time goes to libraries that only unused parts
of mxnet need.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon.operator_functions import make_at_first_call
from hpcmtl.training.gluon.settings import require_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

_BOOTSTRAP = "launchers/bootstrap.sh installs what fits"

# Warnings during the import of mxnet about its own code, by message and category.
_KNOWN_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    (r"In accordance with NEP 32, the function \w+ was removed", DeprecationWarning),
    (r"distutils Version classes are deprecated", DeprecationWarning),
    (r"`np\.\w+` is a deprecated alias", DeprecationWarning),
    (r"In the future `np\.\w+` will be defined as", FutureWarning),
)
# Optional imports of mxnet, for its FeedForward, its quantisation and its tests of random numbers.
_NOT_NEEDED = ("scipy.stats", "sklearn")


def import_mxnet() -> Any:
    """Returns the module ``mxnet``, imported so that it works with the numpy of this environment.

    The first call takes half a second to one second.

    Raises:
        EnvironmentUnfitError: mxnet is missing, or does not work with this numpy or a variable of the environment.
    """
    require_settings()
    if int(np.__version__.split(".")[0]) >= 2:
        raise EnvironmentUnfitError(
            f"mxnet 1.9.1 does not work with numpy {np.__version__}: install 'numpy>=1.23,<2' ({_BOOTSTRAP})"
        )
    if "bool" not in vars(np):
        np.bool = bool  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        for message, category in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        make_at_first_call()
        with _hidden(() if "mxnet" in sys.modules else _NOT_NEEDED):
            mxnet = _import("mxnet", "mxnet==1.9.1")
    symbols = sys.modules.get("mxnet.symbol.symbol")
    if symbols is not None:  # it prints shapes before it raises; the refusal names what does not fit
        symbols.print = _log.debug  # type: ignore[attr-defined]  # a name that the module finds before the built-in one
    return mxnet


def import_horovod() -> Any:
    """Returns the module ``horovod.mxnet`` of a Horovod that was built with MXNet, MPI and Gloo.

    Raises:
        EnvironmentUnfitError: Horovod is missing, or was built without one of the three; the message names it.
    """
    import_mxnet()
    with _symbols_kept_local():
        horovod = _import("horovod.mxnet", "Horovod")
    built = {"MPI": horovod.mpi_built(), "Gloo": horovod.gloo_built()}
    missing = [name for name, there in built.items() if not there]
    if missing:
        raise EnvironmentUnfitError(f"Horovod was built without {' and '.join(missing)}: {_BOOTSTRAP}")
    return horovod


@contextmanager
def _symbols_kept_local() -> Iterator[None]:
    """Lets libraries that are loaded by ctypes keep their symbols to themselves, also where the caller asks otherwise.

    Horovod loads its library, and libmxnet with it, for the whole process. Libraries that are loaded later then take
    instances of the C++ standard library's templates from libmxnet: the imports of torch 2.13 and of OR-Tools 9 ended
    the process by a segmentation fault. Horovod itself needs no global symbols.
    """
    kept = ctypes.RTLD_GLOBAL
    ctypes.RTLD_GLOBAL = ctypes.RTLD_LOCAL  # type: ignore[misc]  # which the module reads when it loads a library
    try:
        yield
    finally:
        ctypes.RTLD_GLOBAL = kept  # type: ignore[misc]


@contextmanager
def _hidden(modules: tuple[str, ...]) -> Iterator[None]:
    """Hides modules that are not imported yet, as if they were not installed."""
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
        # Horovod raises an ImportError of several lines if it was built without MXNet. A shared library that the loader
        # does not find is an OSError.
        reason = "was built without MXNet" if "has not been built" in str(error) else "cannot be imported"
        first = str(error).partition("\n")[0]
        raise EnvironmentUnfitError(f"{title} {reason} ({first}): {_BOOTSTRAP}") from error
