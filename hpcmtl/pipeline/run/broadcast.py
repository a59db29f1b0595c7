"""Broadcast of the result at the end of a run, which survives the loss of a rank."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
from hpcmtl.results.outcome.summary import from_dict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.errors import NoSpaceError
    from hpcmtl.results.outcome.summary import JobResult
    from hpcmtl.results.rundir.directory import RunDirectory

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 20.0
"""Seconds to wait for the completion record, which rank 0 writes after it has learnt of the loss."""


def broadcast_result(
    result: JobResult | NoSpaceError | None,
    world: Communicator,
    others: Iterable[Communicator],
    directory: RunDirectory,
) -> JobResult | NoSpaceError:
    """Sends the result of rank 0 to all ranks of the world (collective), and frees the other communicators.

    Args:
        result: the result, on rank 0, or the error with which it could not be written.
        world: ranks that live.
        others: communicators to free.
        directory: run directory, from which the result is read if the broadcast loses a rank.

    Raises:
        RankLostError: rank 0 was lost before it wrote the completion record.
    """
    try:
        result = world.bcast(result)
        for comm in others:
            comm.free()
    except RankLostError as error:
        _log.warning("a rank was lost at the end of the run: %s", error)
        result = result or _written(directory, error)
    assert result is not None
    return result


def _written(directory: RunDirectory, error: RankLostError) -> JobResult:
    end = time.monotonic() + PATIENCE_SECONDS
    while not directory.results_file.exists():
        if time.monotonic() > end:
            raise error
        time.sleep(0.05)
    return from_dict(json.loads(directory.results_file.read_text(encoding="utf-8")))
