"""Checkpoints of a training task: written by a thread of one rank while the group trains, loaded for all ranks.

The name of a file contains the number of steps done, so that the newest checkpoint has the highest number. It is found
in the directory, and not by the records of the job: a checkpoint that was not written in time, or is damaged, costs the
steps since the one before.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.outcome import on_root
from hpcmtl.errors import naming_the_gone
from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal
from hpcmtl.exchange.transfer import share
from hpcmtl.results.events import CheckpointDamaged, CheckpointWritten
from hpcmtl.training.checkpointing.content import Checkpoint
from hpcmtl.training.checkpointing.interval import best_interval
from hpcmtl.training.session import checkpoints_of

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.session import SessionContext

_log = logging.getLogger(__name__)

KEPT = 2
"""Number of checkpoints of a task that stay on disk: if the newest is damaged, the one before is used."""

# Assumed speed of writing, before the first checkpoint is measured.
_BYTES_A_SECOND = 200e6
_SECONDS_A_FILE = 0.01


class AsyncCheckpointer:
    """Writes the checkpoints of one session, one at a time, on a thread of the group's first rank.

    Attributes:
        cost: duration of the last checkpoint in seconds: the pause of the training and the time of the thread.
    """

    def __init__(self, context: SessionContext, cost: float = 0.0) -> None:
        """Starts the thread on the group's first rank.

        Args:
            context: context of the session; its job has the interval.
            cost: expected duration of a checkpoint in seconds; 0 if it is not known.
        """
        self._context, self.cost = context, cost
        self._settings = context.job.checkpoints
        self._pool = ThreadPoolExecutor(1, "checkpoint") if context.group.rank == 0 else None
        self._writing: Future[None] | None = None
        self._since = time.monotonic()

    def due(self) -> bool:
        """Returns whether a checkpoint is due; always False on other ranks than the group's first."""
        if self._pool is None or (self._writing is not None and not self._writing.done()):
            return False
        return time.monotonic() - self._since >= self.interval

    @property
    def interval(self) -> float:
        """Seconds between two checkpoints, from the job file or from their cost."""
        if self._settings.interval != "auto":
            return float(self._settings.interval)
        return best_interval(self.cost, self._settings.mtbf_hours * 3600)

    def expect(self, state_bytes: int) -> None:
        """Sets the expected cost from the size of the state, if no checkpoint was measured yet."""
        self.cost = self.cost or _SECONDS_A_FILE + state_bytes / _BYTES_A_SECOND

    def save(self, checkpoint: Checkpoint, held: float = 0.0) -> None:
        """Starts to write a checkpoint; returns when the one before it is on disk (collective).

        Args:
            checkpoint: checkpoint whose arrays are not changed any more.
            held: pause of the training for the copy, in seconds.

        Raises:
            OSError: the checkpoint before could not be written; on all ranks, so that the layer fails on all of them.
        """
        on_root(self._context.group, lambda: self._submit(checkpoint, held))

    def flush(self) -> None:
        """Returns when all checkpoints are on disk (collective).

        Raises:
            OSError: one could not be written; on all ranks.
        """
        on_root(self._context.group, self._wait)

    def close(self) -> None:
        """Finishes the write under way; if it fails, an older checkpoint is used later."""
        if self._pool is None:
            return
        try:
            self._wait()
        except OSError as error:
            _log.warning("task %s: the last checkpoint is not written: %s", self._context.task, error)
        self._pool.shutdown()

    def _submit(self, checkpoint: Checkpoint, held: float) -> None:
        self._wait()
        assert self._pool is not None, "the group's first rank writes"
        self._since = time.monotonic()
        self._writing = self._pool.submit(self._write, checkpoint, held)

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, checkpoint: Checkpoint, held: float) -> None:
        context, started = self._context, time.perf_counter()
        step = int(checkpoint.facts["step"])
        path = checkpoint_file(checkpoints_of(context.directory, context.task), step)
        with naming_the_gone(context.directory.path):
            seal(path, checkpoint.state, {"task": context.task, **checkpoint.facts})
            for old in _newest_first(path.parent)[KEPT:]:
                old.unlink()
            seconds = time.perf_counter() - started
            self.cost = held + seconds
            size = path.stat().st_size
        context.record(CheckpointWritten(task=context.task, step=step, seconds=seconds, held=held, bytes=size))


def newest_state(context: SessionContext) -> Checkpoint | None:
    """Returns the state that a session continues from, the same on all ranks; None for a fresh start (collective).

    A rank that was in the group of the layer before has the state in memory and sends it to the others. That takes a
    tenth of the time of reading the checkpoint.

    Args:
        context: context of the session, with the number of steps that the task has done, if it is known.
    """
    mine = context.states.get(context.task)
    have = mine is not None and mine.facts["step"] == context.step
    holders = context.group.allgather(have)
    if not any(holders):
        return latest_checkpoint(context)
    if all(holders):
        return mine
    state, facts = share(
        context.group, lambda: (mine.state, dict(mine.facts)) if mine else ({}, {}), holders.index(True)
    )
    return mine if have else Checkpoint(state, facts)


def latest_checkpoint(context: SessionContext) -> Checkpoint | None:
    """Returns the newest checkpoint that can be read, on all ranks; None if there is none (collective).

    A damaged file is renamed, with a warning. If no checkpoint is left the task starts from its beginning: that costs
    time, and no result.
    """

    def read() -> tuple[Arrays, dict[str, Any] | None]:
        for path in _newest_first(checkpoints_of(context.directory, context.task)):
            try:
                return read_sealed(path)
            except DamagedFileError as error:
                path.rename(path.with_suffix(".damaged"))
                _log.warning("task %s: a checkpoint is passed over: %s", context.task, error)
                context.record(CheckpointDamaged(task=context.task, file=path.name, message=str(error)))
        return {}, None

    arrays, facts = share(context.group, read)
    return None if facts is None else Checkpoint(arrays, facts)


def checkpoint_file(directory: Path, step: int) -> Path:
    """Returns the path of the checkpoint after a number of steps."""
    return directory / f"step-{step:010d}.h5"


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*.h5"), reverse=True)
