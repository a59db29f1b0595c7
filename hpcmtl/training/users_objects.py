"""Makes the objects of the user's that a job names by ``package.module:attribute``; their code may raise anything."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.json_form import user_models
from hpcmtl.networks.strict import misplaced_texts
from hpcmtl.training.code_state import CodeState
from hpcmtl.training.other_frameworks import told_as_foreign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.networks.description import NetworkDescription


def import_networks(network: NetworkDescription) -> None:
    """Imports the modules of the user's networks before a seed is set: they may draw random numbers then.

    Raises:
        InputError: one cannot be imported.
    """
    for name in user_models(network):
        resolve(name)


def users_network(name: str, arguments: Mapping[str, Any], wanted: Any, title: str, framework: str) -> Any:
    """Makes a network of the user's.

    Args:
        name: reference to a callable that returns it.
        arguments: keyword arguments of the callable.
        wanted: class of the framework's networks.
        title: name of that class in a message.
        framework: name of the framework.

    Raises:
        InputError: it cannot be imported or built, or is no network of the framework.
    """
    where = f"model {name}"
    try:
        make = resolve(name)
        problems = [Problem(where, text) for text in misplaced_texts(make, dict(arguments))]
        made = None if problems else make(**arguments)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        text = f"cannot be built with {dict(arguments)}: {reason_of(error)}"
        raise InputError([Problem(where, text)]) from error
    if problems:
        raise InputError(problems)
    if not isinstance(made, wanted):
        told = told_as_foreign(made, framework) or f"{type(made).__name__}, not a {title}"
        raise InputError([Problem(where, f"makes a {told}")])
    return made


def state_of_users_code(needs: FrameworkNeeds) -> CodeState:
    """Returns what the functions and classes of a network, losses and optimizers of the user's remember now."""
    names = [*(user_models(needs.network) if needs.network else ()), *needs.loss_names]
    names += _names_of(needs.optimizer) if needs.optimizer else ()
    return _state_of(names)


def state_of_optimizers(optimizer: Optimizer) -> CodeState:
    """Returns what the functions and classes remember now that make the optimizers of a task."""
    return _state_of(_names_of(optimizer))


def _names_of(optimizer: Optimizer) -> list[str]:
    return [optimizer.name, *(group.name for group in optimizer.groups.values() if group.name)]


def _state_of(names: Iterable[str]) -> CodeState:
    found = []
    for name in names:
        if ":" in name:
            with suppress(InputError):  # it is reported where it is made
                found.append(resolve(name))
    return CodeState([found])
