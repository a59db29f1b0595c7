"""Imports modules whose compiled libraries must not take symbols of libraries that were loaded before."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def import_with_own_symbols(module: str) -> ModuleType:
    """Imports a module whose libraries search their own symbols first, where the system can (``RTLD_DEEPBIND``).

    A program may have loaded a large library with its symbols for the whole process. Libraries that come later take
    instances of the C++ standard library's templates from it: imports ended the process by a segmentation fault.
    """
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | getattr(os, "RTLD_DEEPBIND", 0))
    try:
        return importlib.import_module(module)
    finally:
        sys.setdlopenflags(flags)
