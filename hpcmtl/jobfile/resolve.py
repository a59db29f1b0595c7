"""Resolves ``package.module:attribute``, the name of a model, loss, optimizer or callable of the user's."""

from __future__ import annotations

import importlib
from typing import Any

from hpcmtl.errors import InputError, Problem


def resolve(name: str) -> Any:
    """Imports the object that a name refers to.

    Raises:
        InputError: there is no such module or attribute, or its import fails.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a script that is no module ends itself when it is imported
        text = f"cannot be imported ({type(error).__name__}: {error})"
        where = "installed modules, and those in the folders of `modules` (default: beside the job file), are found"
        raise InputError([Problem(name, f"{text}; {where}")]) from error
