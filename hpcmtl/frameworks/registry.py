"""Finds frameworks by name: the built-in ones, and those of installed packages.

A package registers a framework by an entry point of the group ``hpcmtl.frameworks``, whose name is the framework's and
whose value refers to a `FrameworkDescription`. The built-in frameworks are strings here as well: so this floor knows
their names alone, and nothing of a framework is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

from hpcmtl.entry_points import installed, package_of
from hpcmtl.errors import EnvironmentUnfitError, nearest
from hpcmtl.frameworks.description import FrameworkDescription

GROUP = "hpcmtl.frameworks"
DEFAULT = "gluon"
BUILT_IN_MODULES = ("mxnet", "horovod", "torch")
"""Modules of other projects that the built-in frameworks import."""

_BUILT_IN = {
    DEFAULT: "hpcmtl.training.gluon.description:GLUON",
    "torch": "hpcmtl.training.torch.description:TORCH",
}


class UnknownFrameworkError(LookupError):
    """Reports a name that no framework has; the message gives the nearest valid one."""


def framework_names() -> tuple[str, ...]:
    """Return the names of all registered frameworks, the built-in ones first."""
    return tuple(dict.fromkeys([*_BUILT_IN, *installed(GROUP)]))


def describe(name: str) -> FrameworkDescription:
    """Return the description of a framework.

    Raises:
        UnknownFrameworkError: no framework has this name.
        EnvironmentUnfitError: a package registers the name, but its description cannot be loaded.
    """
    if name in _BUILT_IN:  # a built-in name cannot be taken over
        return _checked(name, load_reference(_BUILT_IN[name]), "hpcmtl")
    entries = installed(GROUP).get(name, ())
    if not entries:
        raise UnknownFrameworkError(f"unknown framework {name!r}{nearest(name, framework_names())}")
    entry, package = entries[0], package_of(entries[0]).removeprefix("package ")
    if len(entries) > 1:
        places = " and ".join(f"{each.value} ({package_of(each)})" for each in entries)
        raise EnvironmentUnfitError(f"framework {name!r} is supplied twice, by {places}; uninstall one of the packages")
    try:
        found = entry.load()
    except Exception as error:
        text = f"framework {name!r}: {package} registers it as {entry.value}, which cannot be imported"
        raise EnvironmentUnfitError(f"{text} ({type(error).__name__}: {error}); repair or remove {package}") from error
    return _checked(name, found, package)


def loadable_descriptions() -> tuple[FrameworkDescription, ...]:
    """Return the descriptions of all registered frameworks that can be loaded; the doctor reports the others."""
    found = []
    for name in framework_names():
        with suppress(EnvironmentUnfitError):
            found.append(describe(name))
    return tuple(found)


def load_reference(reference: str) -> Any:
    """Import what a reference ``package.module:attribute`` names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _checked(name: str, found: Any, package: str) -> FrameworkDescription:
    if not isinstance(found, FrameworkDescription) or found.name != name:
        text = f"framework {name!r}: {package} registers {found!r}, which is no FrameworkDescription of this name"
        raise EnvironmentUnfitError(f"{text}; repair or remove {package}")
    return found
