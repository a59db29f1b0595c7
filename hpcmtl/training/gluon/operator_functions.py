"""Makes each of MXNet's operator functions at its first call, in place of all of them at the import.

MXNet 1.9.1 writes and compiles Python source for some 2,500 functions whenever it is imported. That takes 1.0 of the
1.6 s of the import. A process calls a few dozen of these functions. Here a function has the code of `_first_call` until
it is called. Then it gets the code that MXNet would have given it, so that later calls are MXNet's own. Until then it
has no docstring.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from importlib.abc import MetaPathFinder
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_BASE = "mxnet.base"
_REGISTRATIONS = ("_init_op_module", "_init_np_op_module")  # each takes the function that makes functions last


def make_at_first_call() -> None:
    """Lets the coming import of MXNet make operator functions at their first calls; without effect after it."""
    if _BASE not in sys.modules:
        sys.meta_path.insert(0, _BaseFinder())


class _BaseFinder(MetaPathFinder):
    """Finds the module of MXNet that registers operators, and changes it once it has run."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        if fullname != _BASE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = partial(_run_base, run)  # type: ignore[method-assign]
        return spec


def _run_base(run: Callable[[ModuleType], None], base: ModuleType) -> None:
    run(base)
    for name in _REGISTRATIONS:
        setattr(base, name, partial(_register, getattr(base, name)))


def _register(registration: Callable[..., None], *given: Any, **named: Any) -> None:
    """Calls one of `_REGISTRATIONS` with the first calls in place of whole functions."""
    if "make_op_func" in named:
        registration(*given, **{**named, "make_op_func": partial(first_call_function, named["make_op_func"])})
    else:
        registration(*given[:-1], partial(first_call_function, given[-1]), **named)


def first_call_function(make: FunctionType, handle: Any, operator: str, name: str) -> FunctionType:
    """Returns a function that becomes the one of an operator when it is called.

    Args:
        make: function of MXNet that makes it, of the three further arguments.
        handle: handle of the operator.
        operator: name of the operator.
        name: name of the function.
    """
    function = FunctionType(_first_call.__code__, make.__globals__, name)
    function.__kwdefaults__ = {"_complete": partial(_complete, function, partial(make, handle, operator, name))}
    function.__doc__ = ""  # MXNet edits some docstrings during its import
    return function


def _first_call(*arrays: Any, _complete: Callable[[], FunctionType], **named: Any) -> Any:
    return _complete()(*arrays, **named)


def _complete(function: FunctionType, make: Callable[[], FunctionType]) -> FunctionType:
    made = make()
    # Another thread may call the function between any two of these lines. Code without positional arguments ignores
    # defaults for some, and code without keyword-only arguments ignores defaults for them: each state can be called.
    function.__defaults__ = made.__defaults__
    function.__code__ = made.__code__
    function.__kwdefaults__ = made.__kwdefaults__
    function.__doc__ = function.__doc__ or made.__doc__
    return function
