"""Content of values that users' code holds: whether it has changed, and copies of it."""

from __future__ import annotations

import functools
import sys
from collections import deque
from dataclasses import dataclass
from types import FunctionType, GeneratorType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.frameworks.registry import BUILT_IN_MODULES
from hpcmtl.training.in_place import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

UNSET = object()
"""Stands for the value of what does not exist."""
CONTAINERS = (list, tuple, set, frozenset, deque, dict)
_DEPTH = 20  # containers inside of each other that are looked into
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_FOREIGN = {"hpcmtl", "numpy", "pandas", "scipy", "sklearn", *BUILT_IN_MODULES} | sys.stdlib_module_names


@dataclass(frozen=True)
class Contents:
    """Compares and copies values.

    Attributes:
        is_kept: tells what is kept elsewhere, such as a parameter; it is compared by identity.
    """

    is_kept: Callable[[object], bool]

    def of(self, value: Any) -> tuple[object, Callable[[], object] | None]:
        """Returns a value that is equal as long as the content of another one is, and a function that copies it.

        Functions, classes and objects of users are looked into by themselves: they are equal by identity.
        """
        if isinstance(value, CONTAINERS) and not _is_plain(value):
            copied = self._copied(value, depth=0)
            return self._marked(value, depth=0), lambda: self._copied(copied, depth=0)
        if isinstance(value, GeneratorType):
            return _mark_of_generator(value), None
        taken = None if self._is_single(value) else snapshot(value)
        if taken is None:
            return ("identity", id(value)), lambda: value
        return taken, None if taken.copies is None else taken.former

    def _is_single(self, value: object) -> bool:
        """Returns whether a value is compared by identity."""
        functions = (type, FunctionType, MethodType, functools.partial, ModuleType)
        if value is UNSET or isinstance(value, functions) or self.is_kept(value):
            return True
        return has_attributes(value) and not is_foreign(type(value))

    def _marked(self, value: Any, depth: int) -> object:
        """Returns the mark of a list, dict or the like that holds more than numbers, texts and arrays."""
        if not isinstance(value, CONTAINERS) or depth == _DEPTH:
            return self.of(value)[0] if depth < _DEPTH else id(value)
        if isinstance(value, dict):
            return dict, [
                (key if isinstance(key, _SCALARS) else id(key), self._marked(each, depth + 1))
                for key, each in value.items()
            ]
        return type(value), [self._marked(each, depth + 1) for each in value]

    def _copied(self, value: Any, depth: int) -> Any:
        """Returns a copy of a list, dict or the like, with all of them inside."""
        if not isinstance(value, CONTAINERS) or depth == _DEPTH:
            former = self.of(value)[1] if depth < _DEPTH else None
            return value if former is None else former()
        if isinstance(value, dict):
            return {key: self._copied(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | deque):
            return type(value)(self._copied(each, depth + 1) for each in value)
        return value.copy() if isinstance(value, set) else value


def has_attributes(value: object) -> bool:
    """Returns whether an object has a namespace, without a call of a user's `__getattr__`."""
    return bool(type(value).__dictoffset__) and not isinstance(value, ModuleType)


def is_foreign(kind: type) -> bool:
    """Returns whether a class is one of Python or of a library."""
    return is_foreign_module(str(kind.__module__))


def is_foreign_module(module: str) -> bool:
    """Returns whether a module is one of Python or of a library, whose code is no user's."""
    return module.partition(".")[0] in _FOREIGN


def _mark_of_generator(generator: GeneratorType[Any, Any, Any]) -> object:
    """Returns a value that is equal until the generator goes on."""
    frame = generator.gi_frame
    return None if frame is None else (id(generator), frame.f_lasti, snapshot(dict(frame.f_locals), copied=False))


def _is_plain(value: object, depth: int = 0) -> bool:
    """Returns whether a value is a number, a text, an array, or a container of these."""
    if isinstance(value, CONTAINERS):
        entries = [*value, *value.values()] if isinstance(value, dict) else value
        return depth < _DEPTH and all(_is_plain(each, depth + 1) for each in entries)
    return isinstance(value, (*_SCALARS, np.ndarray, np.generic))
