"""The state of a training task between steps: written by one rank of the group beside the training, loaded for all.

A file's name has the number of steps that were done, so the newest is the one with the highest; it is found by looking,
not by what the job believes: a state that was not written in time, or is damaged, costs the steps since the one before.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.outcome import on_root
from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal
from hpcmtl.exchange.transfer import share
from hpcmtl.results.events import CheckpointDamaged, CheckpointWritten
from hpcmtl.training.checkpointing.interval import best_interval
from hpcmtl.training.session import checkpoints_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.session import SessionContext

_log = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints of a task that are on disk: if the newest is damaged, the one before serves."""

# What writing is taken to cost before the first was measured.
_BYTES_A_SECOND = 200e6
_SECONDS_A_FILE = 0.01


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        state: what `Learner.state` gave: parameters, optimizer state, loss scale.
        facts: the data cursor (step, epoch, seed) and what else describes the state.
    """

    state: Arrays
    facts: Mapping[str, Any]


class AsyncCheckpointer:
    """Writes the checkpoints of one session, one at a time, on a thread of the group's first rank.

    Attributes:
        cost: seconds that the last one took, for the training to stand still and for the thread to write.
    """

    def __init__(self, context: SessionContext, cost: float = 0.0) -> None:
        """Get ready.

        Args:
            context: of the session; its job says how often.
            cost: seconds that a checkpoint takes; 0 if that is not known.
        """
        self._context, self.cost = context, cost
        self._settings = context.job.checkpoints
        self._pool = ThreadPoolExecutor(1, "checkpoint") if context.group.rank == 0 else None
        self._writing: Future[None] | None = None
        self._since = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for a checkpoint; the word of the group's first rank counts."""
        if self._pool is None or (self._writing is not None and not self._writing.done()):
            return False
        return time.monotonic() - self._since >= self.interval

    @property
    def interval(self) -> float:
        """Seconds between checkpoints, by what they cost."""
        if self._settings.interval != "auto":
            return float(self._settings.interval)
        return best_interval(self.cost, self._settings.mtbf_hours * 3600)

    def expect(self, state_bytes: int) -> None:
        """Say about how large a state is, before the first was written."""
        self.cost = self.cost or _SECONDS_A_FILE + state_bytes / _BYTES_A_SECOND

    def save(self, checkpoint: Checkpoint, held: float = 0.0) -> None:
        """Have a state written; returns when the one before it is on disk, not this one (collective).

        Args:
            checkpoint: nobody changes its arrays any more.
            held: seconds for which the training stood still to make the copy.

        Raises:
            OSError: the one before could not be written; on all ranks, so that all of them take the layer for failed.
        """
        on_root(self._context.group, lambda: self._submit(checkpoint, held))

    def flush(self) -> None:
        """Return when all is on disk (collective).

        Raises:
            OSError: it could not be written; on all ranks.
        """
        on_root(self._context.group, self._wait)

    def close(self) -> None:
        """Finish what is being written; if that fails, an older state serves."""
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
        seal(path, checkpoint.state, {"task": context.task, **checkpoint.facts})
        for old in _newest_first(path.parent)[KEPT:]:
            old.unlink()
        seconds = time.perf_counter() - started
        self.cost = held + seconds
        size = path.stat().st_size
        context.record(CheckpointWritten(task=context.task, step=step, seconds=seconds, held=held, bytes=size))


def newest_state(context: SessionContext) -> Checkpoint | None:
    """What a session goes on from, the same on all ranks; None for a fresh start (collective).

    A rank that was in the group of the layer before still has it, and gives it to the others: a tenth of the time that
    the way by the checkpoint takes.

    Args:
        context: of the session; with the step at which the task stands, if that is known.
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
    """The newest checkpoint that can be read, given to all ranks; None if there is none (collective).

    A damaged one is set aside with a warning. If none is left the task begins anew: that costs time, and nothing else.
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
    """Where the state after so many steps lies."""
    return directory / f"step-{step:010d}.h5"


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*.h5"), reverse=True)
