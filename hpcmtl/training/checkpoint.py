"""The state of a training task between steps: saved by one rank of the group, loaded for all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.outcome import on_root
from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal
from hpcmtl.exchange.transfer import share
from hpcmtl.training.session import checkpoint_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcmtl.training.learner import Arrays
    from hpcmtl.training.session import SessionContext

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Saved:
    """What a checkpoint holds.

    Attributes:
        state: what `Learner.state` gave: parameters, optimizer state, loss scale.
        facts: the data cursor (step, epoch, seed) and what else describes the state.
    """

    state: Arrays
    facts: Mapping[str, Any]


def save_checkpoint(context: SessionContext, layer: int, saved: Saved) -> None:
    """Seal the state after, or inside, a layer; the group's first rank writes (collective).

    Raises:
        OSError: it could not be written; on all ranks, so that all of them take the layer for failed.
    """
    path = checkpoint_file(context.directory, context.task, layer)
    on_root(context.group, lambda: seal(path, saved.state, {"task": context.task, **saved.facts}))


def newest_state(context: SessionContext, layer: int) -> Saved | None:
    """What a layer goes on from, the same on all ranks; None for a fresh start (collective).

    A rank that was in the group of the layer before still has it, and gives it to the others: a tenth of the time that
    the way by the checkpoint takes.

    Args:
        context: of the session; with the step at which the task stands, if that is known.
        layer: that is to be run.
    """
    mine = context.states.get(context.task)
    have = mine is not None and mine.facts["step"] == context.step
    holders = context.group.allgather(have)
    if not any(holders):
        return latest_checkpoint(context, layer)
    if all(holders):
        return mine
    state, facts = share(
        context.group, lambda: (mine.state, dict(mine.facts)) if mine else ({}, {}), holders.index(True)
    )
    return mine if have else Saved(state, facts)


def latest_checkpoint(context: SessionContext, layer: int) -> Saved | None:
    """The newest checkpoint that a layer can go on from, given to all ranks; None for a fresh start (collective).

    That is a state from inside the layer (it was stopped), or after the layer before; a damaged one is passed over with
    a warning if the one before it still serves.

    Raises:
        DamagedFileError: on all ranks, if the layer has predecessors and none of their states can be read.
    """
    candidates = [checkpoint_file(context.directory, context.task, number) for number in (layer, layer - 1)]

    def read() -> tuple[Arrays, dict[str, Any] | None]:
        problems = []
        for path in candidates:
            if path.exists():
                try:
                    return read_sealed(path)
                except DamagedFileError as error:
                    problems.append(_passed_over(path, error))
        if layer > 0:
            raise DamagedFileError(
                f"task {context.task}: layer {layer} needs the checkpoint of layer {layer - 1}: "
                + ("; ".join(problems) or f"{candidates[-1]} is not there")
            )
        return {}, None

    arrays, facts = share(context.group, read)
    return None if facts is None else Saved(arrays, facts)


def _passed_over(path: Path, error: DamagedFileError) -> str:
    _log.warning("checkpoint %s is passed over: %s", path, error)
    return str(error)
