"""``package.module:attribute``, as a job file names models, losses, optimizers and callables of the user's."""

from __future__ import annotations

import importlib
from typing import Any

from hpcmtl.errors import InputError, Problem


def resolve(name: str) -> Any:
    """Import what a name stands for.

    Raises:
        InputError: if there is no such module or attribute, or importing it fails.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        text = f"cannot be imported ({type(error).__name__}: {error})"
        raise InputError(
            [Problem(name, f"{text}; installed modules and those beside the job file are found")]
        ) from error
