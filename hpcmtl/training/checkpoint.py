"""The state of a training task between steps: saved by one rank of the group, loaded for all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal
from hpcmtl.exchange.transfer import share
from hpcmtl.training.session import checkpoint_file

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.training.learner import Arrays
    from hpcmtl.training.session import SessionContext

_log = logging.getLogger(__name__)


def save_checkpoint(context: SessionContext, layer: int, state: Arrays, facts: dict[str, Any]) -> None:
    """Seal the state after, or inside, a layer; only the group's first rank writes.

    Args:
        context: of the session.
        layer: number of the layer.
        state: what `Learner.state` gave: parameters, optimizer state, loss scale.
        facts: the data cursor (step, epoch, seed) and what else describes the state.
    """
    if context.group.rank == 0:
        seal(checkpoint_file(context.directory, context.task, layer), state, {"task": context.task, **facts})


def latest_checkpoint(context: SessionContext, layer: int) -> tuple[Arrays, dict[str, Any]] | None:
    """The newest state that a layer can go on from, given to all ranks; None for a fresh start (collective).

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
    return None if facts is None else (arrays, facts)


def _passed_over(path: Path, error: DamagedFileError) -> str:
    _log.warning("checkpoint %s is passed over: %s", path, error)
    return str(error)
