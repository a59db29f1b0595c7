"""Refuses objects of the user's that belong to another framework than their task; imports no framework.

A class of a framework, or one derived from it, is known by the name of its module.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.frameworks.registry import loadable_descriptions
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.json_form import user_models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.kinds import FrameworkNeeds


def foreign_objects(needs: FrameworkNeeds, framework: str) -> Iterator[Problem]:
    """Yields the networks, losses and optimizers of the user's that belong to another framework.

    Args:
        needs: what a task asks of its framework.
        framework: name of this framework.
    """
    named = [("model", name) for name in (user_models(needs.network) if needs.network else ())]
    named += [("loss", name) for name in needs.loss_names]
    if needs.optimizer is not None:
        named.append(("optimizer", needs.optimizer.name))
        named += [("optimizer", each.name) for each in needs.optimizer.groups.values() if each.name is not None]
    for key, name in dict.fromkeys(named):
        text = _foreign(name, framework) if ":" in name else None
        if text is not None:
            yield Problem(f"{key} {name}", text)


def told_as_foreign(made: Any, framework: str) -> str | None:
    """Returns what an object is, and which `framework` to write, if it belongs to another one than `framework`."""
    classes = made.__mro__ if isinstance(made, type) else (made, *type(made).__mro__)
    for each in classes:
        owner = _owner(getattr(each, "__module__", None))
        if owner is not None:
            name = getattr(each, "__name__", type(made).__name__)
            return None if owner.name == framework else _told(f"{owner.title} {name}", owner, framework)
    return None


def _told(what: str, owner: FrameworkDescription, framework: str) -> str:
    return f"{what}, and the framework of the task is {framework}: write `framework: {owner.name}`"


def _foreign(name: str, framework: str) -> str | None:
    """Returns what is wrong with a reference to an object of another framework; None for all else."""
    try:
        found = resolve(name)
    except InputError as error:
        owner = _unimportable(error.__cause__, framework)
        if owner is None:
            return None
        return f"cannot be imported: it imports {_told(owner.title, owner, framework)}, or leave the import out"
    told = told_as_foreign(found, framework)
    return None if told is None else f"{'makes' if isinstance(found, type) else 'is'} a {told}"


def _unimportable(cause: BaseException | None, framework: str) -> FrameworkDescription | None:
    """Returns the other framework whose own modules failed to be imported: frameworks have workarounds for theirs."""
    if cause is None:
        return None
    if isinstance(cause, ModuleNotFoundError):
        modules = [cause.name]
    else:
        modules = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(cause.__traceback__)]
    owners = [owner for module in modules if (owner := _owner(module)) is not None]
    return owners[-1] if owners and owners[-1].name != framework else None


def _owner(module: Any) -> FrameworkDescription | None:
    """Returns the framework that a module belongs to."""
    package = module.partition(".")[0] if isinstance(module, str) else None
    return next((each for each in loadable_descriptions() if package in each.required), None)
