"""Runs a job on the ranks of an MPI world."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hpcmtl import faults
from hpcmtl.communicators.daemon import end_with_daemon
from hpcmtl.communicators.outcome import abort_on_error, on_root
from hpcmtl.dispatch.rank.channels import ThreadChannels
from hpcmtl.dispatch.rank.signals import signals_to
from hpcmtl.errors import CannotGoOnError, EnvironmentUnfitError, ExitCode, InputError
from hpcmtl.jobfile.frameworks import tasks_by_framework
from hpcmtl.launch.environment import inside_mpi, require_world
from hpcmtl.logs import close_logs, open_logs
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.attempt import begin, dispatch
from hpcmtl.pipeline.run.options import RunOptions
from hpcmtl.pipeline.run.preflight import preflight
from hpcmtl.pipeline.run.probe import probe
from hpcmtl.pipeline.run.result import read_result
from hpcmtl.pipeline.run.resume_point import ResumePoint, load_run
from hpcmtl.results.outcome.summary import JobResult
from hpcmtl.training.collectives.select import choose_collective
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.jobfile.schema import Job

_log = logging.getLogger(__name__)


def run(source: Path | Job, options: RunOptions | None = None, world: Communicator | None = None) -> JobResult:
    """Run a job on all ranks of the world (collective).

    Args:
        source: a job file, or a job made in code.
        options: how.
        world: the ranks; MPI's by default.

    Returns:
        How it ended, on every rank.

    Raises:
        InputError: the job is not sound; on all ranks, before anything is written.
        EnvironmentUnfitError: the world or an engine is not what was asked for; on all ranks.
    """
    options = options or RunOptions()
    return _attempt(lambda ranks: ResumePoint(prepare(source, ranks, options.policy)), options, world)


def resume(
    directory: Path, job_file: Path | None = None, options: RunOptions | None = None, world: Communicator | None = None
) -> JobResult:
    """Go on with a run that was stopped, or died, or has not begun, on any number of ranks (collective).

    Finished tasks are not run again, and unfinished ones go on at their newest checkpoint; those that failed are tried
    once more.

    Args:
        directory: of the run.
        job_file: instead of the job in it; it may differ in what has not begun, and in how tasks are placed.
        options: how; `root` is not used.
        world: the ranks; MPI's by default.

    Returns:
        How it ended, on every rank.

    Raises:
        InputError: the directory is no run's or damaged, or the job differs in what has been done; on all ranks.
        EnvironmentUnfitError: as of `run`, or the run goes on; on all ranks.
    """
    options = options or RunOptions()
    return _attempt(lambda ranks: load_run(directory, job_file, ranks, options.policy), options, world)


def _attempt(find: Callable[[int], ResumePoint], options: RunOptions, world: Communicator | None) -> JobResult:
    world = world or _mpi_world()
    if inside_mpi():
        end_with_daemon()
    check_world(world, options.ranks)
    while True:
        ended = _led(find, options, world)
        if isinstance(ended, JobResult):
            return ended
        world = ended.survivors_comm
        if world.rank == 0:
            _log.warning("hpcmtl: %s: the run goes on from the ledger (ranks left: %d)", ended.why, world.size)
        find = partial(_take_over, ended, options.policy)


@dataclass(frozen=True)
class _Abandoned:
    """An attempt that was given up: why, the ranks that live, and where the run is."""

    why: str
    survivors_comm: Communicator
    directory: Path


def _take_over(ended: _Abandoned, policy: str | None, ranks: int) -> ResumePoint:
    """Find out where a run stands whose attempt was given up.

    Raises:
        CannotGoOnError: the ranks that are left are too few for it.
    """
    try:
        return load_run(ended.directory, None, ranks, policy, deserted=True)
    except InputError as error:
        text = f"{ended.why}, and the run stops, since too few are left ({ranks}): {error.in_one_line}"
        raise CannotGoOnError(f"{text}. `hpcmtl resume` on more of them goes on from the checkpoints") from error


def _led(find: Callable[[int], ResumePoint], options: RunOptions, world: Communicator) -> JobResult | _Abandoned:
    """Run a job under rank 0 of a world, as one attempt."""
    channels = ThreadChannels()
    with signals_to(channels):  # from here on, so that a signal during the imports stops the job as well
        asked = on_root(world, faults.requested)
        resume_point = on_root(world, lambda: find(world.size))
        if resume_point.is_over:
            return on_root(world, lambda: read_result(resume_point))
        sys.path[:0] = map(str, resume_point.prepared.modules)
        _require_frameworks(world, resume_point.prepared.job)
        on_root(world, lambda: preflight(resume_point.prepared, resume_point.unfinished))
        facts = probe(world, options.root if resume_point.directory is None else resume_point.directory.path)
        planned = on_root(world, lambda: begin(resume_point, options, facts))
        open_logs(world.rank, planned.directory.rank_log(world.rank))
        faults.arm(asked, planned.directory.path, world.rank, planned.attempt)
        try:
            with abort_on_error(world):  # from here on ranks wait for each other in threads that nobody can call back
                result = dispatch(world, channels, planned)
            if result is None:
                assert channels.comms.world is not None
                return _Abandoned(channels.abandoned, channels.comms.world, planned.directory.path)
            return result
        finally:
            faults.disarm()
            close_logs()


def check_world(world: Communicator, asked: int | None) -> None:
    """Compare the world with what was asked for and with what the launcher says.

    Raises:
        EnvironmentUnfitError: N singletons (a launcher that does not speak with this MPI), or another number of ranks.
    """
    require_world(world.size)
    if asked is not None and asked != world.size:
        raise EnvironmentUnfitError(f"--ranks {asked} was asked for, but the world has {world.size} ranks")


def exit_code(result: JobResult) -> ExitCode:
    """The exit code that tells how a job ended."""
    return {
        "complete": ExitCode.COMPLETE,
        "failed": ExitCode.TASK_FAILED,
        "incomplete": ExitCode.TASK_FAILED,
        "stopped": ExitCode.STOPPED,
    }[result.status]


def _mpi_world() -> Communicator:
    from hpcmtl.communicators.mpi import world

    return world()


def _require_frameworks(world: Communicator, job: Job) -> None:
    """Open the frameworks of a job on all ranks, and check the engines that its tasks insist on (collective).

    Raises:
        EnvironmentUnfitError: a rank lacks a framework or an engine; on all ranks.
    """
    reason = ""
    try:  # around the imports as well: a framework may be missing on one node alone
        for name, tasks in tasks_by_framework(job).items():
            framework = open_framework(name)
            for engine in {getattr(job.tasks[task], "engine", None) for task in tasks} - {None}:
                choose_collective(str(engine), world, framework.collectives())
    except EnvironmentUnfitError as error:
        reason = str(error)
    reasons = {rank: text for rank, text in enumerate(world.allgather(reason)) if text}
    if reasons:
        raise EnvironmentUnfitError(f"rank {min(reasons)}: {reasons[min(reasons)]}")
