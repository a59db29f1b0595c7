"""Which engine a group gets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon.compat import import_horovod
from hpcmtl.training.gluon.engines.base import LocalEngine
from hpcmtl.training.gluon.engines.horovod import HorovodEngine
from hpcmtl.training.gluon.engines.kvstore import KVStoreEngine

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.gluon.engines.base import Engine


@dataclass(frozen=True)
class Choice:
    """An engine's name and the reason it was taken."""

    name: str
    reason: str


def choose_engine(asked: str, group: Communicator) -> Choice:
    """Decide what `asked` in the job file means for a group.

    Args:
        asked: `horovod`, `kvstore` or `local`; with an exclamation mark there is no falling back.
        group: the ranks that will train together.

    Raises:
        EnvironmentUnfitError: for `horovod!` where Horovod cannot be used; the message has the remedy.
    """
    name, insists = asked.rstrip("!"), asked.endswith("!")
    if group.size == 1 and not insists:
        return Choice("local", "the group has one rank")
    if name == "local":
        return Choice("kvstore", f"engine local is for one rank, the group has {group.size}")
    if name == "kvstore":
        return Choice("kvstore", "asked for")
    reason = horovod_unusable(group)
    if reason is None:
        return Choice("horovod", "asked for")
    if insists:
        raise EnvironmentUnfitError(
            f"engine `horovod!` refuses to fall back, and {reason}. "
            "Set it up with launchers/bootstrap.sh, or write `engine: horovod` to allow kvstore"
        )
    return Choice("kvstore", f"horovod cannot be used: {reason}")


def horovod_unusable(group: Communicator) -> str | None:
    """Reason why Horovod cannot train this group, or None."""
    if not hasattr(group, "native"):
        return "these ranks are threads of one process, without MPI"
    try:
        import_horovod()
    except EnvironmentUnfitError as error:
        return str(error)
    return None


def open_engine(choice: Choice, group: Communicator) -> Engine:
    """Open the chosen engine on a group."""
    if choice.name == "local":
        return LocalEngine()
    return HorovodEngine(group) if choice.name == "horovod" else KVStoreEngine(group)
