"""Runs a job on the ranks of an MPI world."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hpcmtl import faults
from hpcmtl.communicators.daemon import end_with_daemon
from hpcmtl.communicators.outcome import abort_on_error, on_root
from hpcmtl.dispatch.rank.channels import ThreadChannels
from hpcmtl.dispatch.rank.signals import signals_to
from hpcmtl.errors import EnvironmentUnfitError, InputError, NoSpaceError, Problem, naming_no_permission
from hpcmtl.frameworks.registry import UnknownFrameworkError
from hpcmtl.jobfile.frameworks import tasks_by_framework
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.resolve import add_module_folders
from hpcmtl.launch.environment import inside_mpi, require_launcher, require_world
from hpcmtl.launch.interpreter import warnings_are_no_errors
from hpcmtl.launch.resources.gpus import count_by_bus
from hpcmtl.launch.variables import check_settings
from hpcmtl.logs import close_logs, open_logs
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.attempt import begin, dispatch
from hpcmtl.pipeline.run.claim import claimed
from hpcmtl.pipeline.run.devices import with_usable_gpus
from hpcmtl.pipeline.run.end_report import write_end_files
from hpcmtl.pipeline.run.framework_environment import prepare_environments
from hpcmtl.pipeline.run.lost_coordinator import load_after_loss
from hpcmtl.pipeline.run.options import RunOptions
from hpcmtl.pipeline.run.preflight import preflight
from hpcmtl.pipeline.run.probe import probe
from hpcmtl.pipeline.run.result import read_result
from hpcmtl.pipeline.run.resume_point import ResumePoint, load_run
from hpcmtl.results.format import counted
from hpcmtl.results.outcome.summary import JobResult
from hpcmtl.training.collectives.select import choose_collective
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.faults.request import Fault
    from hpcmtl.jobfile.schema import Job

_log = logging.getLogger(__name__)
T = TypeVar("T")


def run(
    source: str | Path | Job | Mapping[str, Any], options: RunOptions | None = None, world: Communicator | None = None
) -> JobResult:
    """Runs a job on all ranks of the world (collective).

    Args:
        source: path of a job file, a job made in code, or a mapping with the keys of a job file.
        options: options of the run, such as its folder; by default those of `hpcmtl.RunOptions`.
        world: communicator of all ranks; MPI's by default.

    Returns:
        The result, on every rank; `result["digit"].metrics` are the metrics of the task `digit`.

    Raises:
        InputError: the job is not sound; on all ranks, before anything is written.
        EnvironmentUnfitError: the world, a framework or an engine is not as required; on all ranks.
        NoSpaceError: the completion record could not be written; on all ranks.
    """
    options = _options(options)
    find = partial(prepare, source, policy=options.policy, changes=options.changes)
    return _run_until_ended(lambda ranks: ResumePoint(find(ranks)), options, world)


def resume(
    directory: Path, job_file: Path | None = None, options: RunOptions | None = None, world: Communicator | None = None
) -> JobResult:
    """Continues a run that was stopped, or died, or has not begun, on any number of ranks (collective).

    Complete tasks do not run again. Other tasks continue from their newest checkpoint; failed ones are tried once more.

    Args:
        directory: run directory.
        job_file: job file in place of the one in the run directory; it may differ in tasks that have not begun, in
            failed tasks, which begin again then, and in the placement of tasks.
        options: options of the run; `root` is not used.
        world: communicator of all ranks; MPI's by default.

    Returns:
        The result, on every rank.

    Raises:
        InputError: this is no sound run directory, or the job differs in tasks that have begun; on all ranks.
        EnvironmentUnfitError: as for `run`, or another process still runs it; on all ranks.
    """
    options = _options(options)
    return _run_until_ended(lambda ranks: load_run(directory, job_file, ranks, options.policy), options, world)


def _options(given: Any) -> RunOptions:
    """Returns the options of a run.

    Raises:
        InputError: they are no `RunOptions`.
    """
    if given is None or isinstance(given, RunOptions):
        return given or RunOptions()
    text = f'found a {type(given).__name__}; give hpcmtl.RunOptions(root="runs")'
    raise InputError([Problem("options", text)])


def _run_until_ended(find: Callable[[int], ResumePoint], options: RunOptions, world: Communicator | None) -> JobResult:
    world = world or _mpi_world()
    if inside_mpi():
        end_with_daemon()
    check_world(world, options.ranks)
    count_by_bus()
    on_root(world, partial(check_settings, world.size))
    with warnings_are_no_errors() as were_errors:
        if were_errors and world.rank == 0:
            _log.warning("hpcmtl: warnings are no errors while the job runs: its libraries warn in normal use")
        while True:
            ended = _run_attempt(find, options, world)
            if isinstance(ended, JobResult):
                return ended
            took_over, world = world.rank != 0, ended.survivors_comm
            if world.rank == 0:
                _log.warning("hpcmtl: %s: the run goes on from the ledger (ranks left: %d)", ended.reason, world.size)
            find = partial(load_after_loss, ended.directory, ended.reason, options.policy, took_over=took_over)


@dataclass(frozen=True)
class _Abandoned:
    """An attempt that was abandoned after a loss of ranks.

    Attributes:
        reason: reason, see `AttemptAbandonedError`.
        survivors_comm: communicator of the living ranks.
        directory: run directory.
    """

    reason: str
    survivors_comm: Communicator
    directory: Path


def _run_attempt(
    find: Callable[[int], ResumePoint], options: RunOptions, world: Communicator
) -> JobResult | _Abandoned:
    """Runs a job under rank 0 of a world, as one attempt (collective)."""
    channels = ThreadChannels()
    with signals_to(channels):  # from here on, so that a signal during the imports stops the job as well
        asked = on_root(world, faults.requested)
        resume_point = on_root(world, lambda: _permitted(lambda: find(world.size)))
        if resume_point.is_over:
            return on_root(world, lambda: read_result(resume_point))
        run = None if resume_point.directory is None else resume_point.directory.path
        with claimed(world, run):
            return _run_claimed(resume_point, asked, options, world, channels)


def _run_claimed(
    resume_point: ResumePoint,
    asked: Sequence[Fault],
    options: RunOptions,
    world: Communicator,
    channels: ThreadChannels,
) -> JobResult | _Abandoned:
    """Checks, plans and carries out an attempt whose directory no other attempt can take (collective)."""
    _require_frameworks(world, resume_point.prepared.job)  # before users' modules, which may have the same names
    add_module_folders(map(str, resume_point.prepared.modules))
    environment = prepare_environments(world, resume_point.prepared)
    on_root(world, lambda: preflight(resume_point.prepared, resume_point.unfinished, resume_point.begun))
    facts = probe(world, options.root if resume_point.directory is None else resume_point.directory.path)
    facts = with_usable_gpus(world, resume_point.prepared, facts)
    planned = on_root(
        world, lambda: _permitted(lambda: begin(resume_point, options, facts, survives=world.survives_losses))
    )
    open_logs(world.rank, planned.directory.rank_log(world.rank))
    if environment and world.rank == 0:
        _log.warning("%s", environment)
    faults.arm(asked, planned.directory.path, world.rank, planned.attempt)
    try:
        # From here on ranks wait for each other in threads, which an error on another rank cannot end.
        with abort_on_error(world):
            result = dispatch(world, channels, planned)
        if result is None:
            assert channels.comms.main is not None
            return _Abandoned(channels.abandoned, channels.comms.main, planned.directory.path)
        if isinstance(result, NoSpaceError):
            raise result
        if world.rank == 0:
            write_end_files(planned.directory, planned.prepared.job)
        return replace(result, directory=str(planned.directory.path))
    finally:
        faults.disarm()
        close_logs()


def _permitted(call: Callable[[], T]) -> T:
    """Returns the value of a call on rank 0; all ranks refuse a directory that this user may not use.

    Raises:
        EnvironmentUnfitError: a file or directory may not be used.
    """
    with naming_no_permission():
        return call()


def check_world(world: Communicator, asked: int | None) -> None:
    """Compares the size of the world with the launcher's number of ranks, and with `asked` if that is given.

    Raises:
        EnvironmentUnfitError: N singletons (the launcher is not of this MPI), or another number of ranks.
    """
    require_world(world.size)
    if asked is not None and asked != world.size:
        raise EnvironmentUnfitError(f"--ranks {asked} was asked for, but the world has {counted(world.size, 'rank')}")


def _mpi_world() -> Communicator:
    from hpcmtl.communicators.mpi import world

    require_launcher()
    return world()


def _require_frameworks(world: Communicator, job: Job) -> None:
    """Opens the frameworks of a job on all ranks, and checks the engines that its tasks require (collective).

    Raises:
        EnvironmentUnfitError: a rank lacks a framework or an engine; on all ranks.
    """
    reason = ""
    try:  # around the imports as well: a framework may be missing on one node alone
        for name, tasks in tasks_by_framework(job).items():
            framework = open_framework(name)
            for engine in {kind_of(job, task).engine(job, task) for task in tasks} - {None}:
                choose_collective(str(engine), world, framework.collectives())
    except (EnvironmentUnfitError, UnknownFrameworkError) as error:  # its package may be missing here alone
        reason = str(error)
    reasons = {rank: text for rank, text in enumerate(world.allgather(reason)) if text}
    if reasons:
        raise EnvironmentUnfitError(f"rank {min(reasons)}: {reasons[min(reasons)]}")
