"""Import of PyTorch, with readable errors."""

from __future__ import annotations

from typing import Any

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.loading import import_with_own_symbols

SET_UP = "HPCMTL_FRAMEWORKS=mxnet,torch launchers/bootstrap.sh installs it"


def import_torch() -> Any:
    """Returns the module ``torch``; the first call takes one to two seconds.

    Raises:
        EnvironmentUnfitError: PyTorch is missing, or cannot be imported.
    """
    try:
        return import_with_own_symbols("torch")
    except ModuleNotFoundError as error:
        raise EnvironmentUnfitError(f"PyTorch is not installed ({error}): {SET_UP}") from error
    except (ImportError, OSError) as error:  # a shared library that the loader does not find is an OSError
        first = str(error).partition("\n")[0]
        raise EnvironmentUnfitError(f"PyTorch cannot be imported ({first}): {SET_UP}") from error
