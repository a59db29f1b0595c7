"""Choice of the collective of a group, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.collectives.local import LocalCollective
from hpcmtl.training.collectives.mpi import MpiCollective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.frameworks.device import Device
    from hpcmtl.training.collectives.base import Collective, CollectiveFactory


@dataclass(frozen=True)
class Choice:
    """Name of a collective, and the reason for the choice."""

    name: str
    reason: str


def choose_collective(
    asked: str, group: Communicator, factories: Mapping[str, CollectiveFactory], device: Device | None = None
) -> Choice:
    """Chooses the collective of a group from the `engine` of a task.

    Args:
        asked: name of a collective; an exclamation mark at its end forbids another one in its place.
        group: ranks that will train together.
        factories: collectives of the framework for its native arrays, by name.
        device: device of this rank, of one kind on all ranks, which all call this; None if it is not known yet.

    Raises:
        EnvironmentUnfitError: `asked` ends with an exclamation mark and cannot be used; the message has the remedy.
    """
    name, insists = asked.rstrip("!"), asked.endswith("!")
    fallback = "kvstore" if "kvstore" in factories else "mpi"
    if group.size == 1 and not insists:
        return Choice("local", "the group has one rank")
    if name == "local":
        return Choice(fallback, f"engine local is for one rank, the group has {group.size}")
    reason = _unusable(name, group, factories)
    if reason is None and device is not None and name in factories:
        reason = factories[name].misfit(group, device)
    if reason is None:
        return Choice(name, "asked for")
    if insists:
        raise EnvironmentUnfitError(
            f"engine `{asked}` refuses to fall back, and {reason}. "
            f"Set it up with launchers/bootstrap.sh, or write `engine: {name}` to allow {fallback}"
        )
    return Choice(fallback, f"{name} cannot be used: {reason}")


def open_collective(choice: Choice, group: Communicator, factories: Mapping[str, CollectiveFactory]) -> Collective:
    """Opens the chosen collective on a group."""
    if choice.name == "local":
        return LocalCollective()
    return MpiCollective(group) if choice.name == "mpi" else factories[choice.name].open(group)


def _unusable(name: str, group: Communicator, factories: Mapping[str, CollectiveFactory]) -> str | None:
    if name == "mpi":
        return None
    if name not in factories:
        return f"the framework of this task has no collective {name}"
    return factories[name].unusable(group)
