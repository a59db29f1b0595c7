"""Runs a job on the ranks of an MPI world."""

from __future__ import annotations

import logging
import socket
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hpcmtl import faults
from hpcmtl.communicators.outcome import abort_on_error, on_root
from hpcmtl.dispatch.control import Mailboxes
from hpcmtl.dispatch.deadline import TimeLimit
from hpcmtl.dispatch.desk import Desk
from hpcmtl.dispatch.dispatcher import Dispatcher
from hpcmtl.dispatch.heartbeat import Heart
from hpcmtl.dispatch.scheduler import scheduler_for
from hpcmtl.dispatch.signals import signals_to
from hpcmtl.dispatch.watchdog import Watchdog
from hpcmtl.errors import EnvironmentUnfitError, ExitCode
from hpcmtl.exchange.handover import Handover
from hpcmtl.exchange.shelf import Shelf
from hpcmtl.launch.environment import (
    attempt_id,
    heartbeat_seconds,
    hung_seconds,
    require_world,
    run_facts,
    seconds_left,
)
from hpcmtl.layerplan.speedup import Speedups
from hpcmtl.logs import close_logs, open_logs
from hpcmtl.pipeline.crew import Crew, work
from hpcmtl.pipeline.examine import look_closely
from hpcmtl.pipeline.grow import GrowingJob
from hpcmtl.pipeline.measured import measurements_of
from hpcmtl.pipeline.observe import RunObserver
from hpcmtl.pipeline.prepare import plan, prepare
from hpcmtl.pipeline.probe import probe
from hpcmtl.pipeline.result import read_result, result_of
from hpcmtl.pipeline.resume import Outset, take_up
from hpcmtl.pipeline.statusfile import StatusFile
from hpcmtl.results.ledger import read
from hpcmtl.results.live import SECONDS_BETWEEN_BEATS
from hpcmtl.results.rundir import RunDirectory, create, set_aside, write_json_atomically, write_text_atomically
from hpcmtl.results.summary import Attempt, JobResult, to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.launch.world import WorldFacts
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.layerplan.speedup import Measurement
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.results.progress import Mode
    from hpcmtl.training.learner import Framework

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """How a run goes, beyond what the job file says.

    Attributes:
        root: directory under which the run directory is made.
        ranks: what the world is checked against; None takes the world as it is.
        policy: instead of the job's.
        progress: how progress is shown on stderr.
        width: columns of the terminal; None to find out.
        measured: directory of a run whose layers' times predict those of this one.
        heartbeat: seconds between the beats of a rank; None for HPCMTL_HEARTBEAT, or 5.
    """

    root: Path = Path("runs")
    ranks: int | None = None
    policy: str | None = None
    progress: Mode = "plain"
    width: int | None = None
    measured: Path | None = None
    heartbeat: float | None = None


@dataclass(frozen=True)
class _Run:
    """A run that has been planned: the same values on all ranks."""

    outset: Outset
    plan: LayerPlan
    directory: RunDirectory
    options: RunOptions
    facts: WorldFacts
    measured: Sequence[Measurement]
    heartbeat: float
    hung: float
    limit: TimeLimit | None

    @property
    def prepared(self) -> Prepared:
        """The job."""
        return self.outset.prepared

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self.outset.history.attempts + 1


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
    return _attempt(lambda ranks: Outset(prepare(source, ranks, options.policy)), options, world)


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
    return _attempt(lambda ranks: take_up(directory, job_file, ranks, options.policy), options, world)


def _attempt(find: Callable[[int], Outset], options: RunOptions, world: Communicator | None) -> JobResult:
    world = world or _mpi_world()
    boxes = Mailboxes()
    with signals_to(boxes):  # from the start: a signal while MXNet is imported stops the job as one later on does
        check_world(world, options.ranks)
        asked = on_root(world, faults.requested)
        outset = on_root(world, lambda: find(world.size))
        if outset.is_over:
            return on_root(world, lambda: read_result(outset))
        sys.path[:0] = map(str, outset.prepared.modules)
        framework = _framework(world, outset.prepared.job)
        on_root(world, lambda: look_closely(outset.prepared, framework, outset.unfinished))
        facts = probe(world, options.root if outset.directory is None else outset.directory.path)
        planned = on_root(world, lambda: _begin(outset, options, facts))
        open_logs(world.rank, planned.directory.rank_log(world.rank))
        faults.arm(asked, planned.directory.path, world.rank, planned.attempt)
        try:
            with abort_on_error(world):  # from here on ranks wait for each other in threads that nobody can call back
                return _dispatch(world, boxes, planned, framework)
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


def _framework(world: Communicator, job: Job) -> Framework:
    """The framework, and all ranks' word that it can do what the job insists on."""
    reason, framework = "", None
    try:  # around the imports as well: mxnet may be missing on one node alone
        from hpcmtl.training.gluon.engines.select import choose_engine
        from hpcmtl.training.gluon.framework import GluonFramework

        framework = GluonFramework()
        for asked in {getattr(task, "engine", None) for task in job.tasks.values()} - {None}:
            choose_engine(str(asked), world)
    except EnvironmentUnfitError as error:
        reason = str(error)
    reasons = {rank: text for rank, text in enumerate(world.allgather(reason)) if text}
    if reasons:
        raise EnvironmentUnfitError(f"rank {min(reasons)}: {reasons[min(reasons)]}")
    assert framework is not None
    return framework


def _begin(outset: Outset, options: RunOptions, facts: WorldFacts) -> _Run:
    """Plan, and write all that is known at the start into the run directory, which is made if there is none."""
    prepared, directory = outset.prepared, outset.directory
    measured = () if options.measured is None else measurements_of(options.measured)
    if outset.history.attempts and directory is not None:
        measured += measurements_of(directory.path)
    heartbeat = options.heartbeat or heartbeat_seconds(SECONDS_BETWEEN_BEATS)
    hung = hung_seconds()
    layer_plan = plan(prepared, Speedups(measured, facts.machine))
    if directory is None:
        directory = create(options.root, prepared.job.job)
    set_aside(directory)
    write_text_atomically(directory.job_file, yaml.safe_dump(prepared.resolved(), sort_keys=False))
    write_json_atomically(directory.plan_file, layer_plan.to_dict())
    left = seconds_left(time.time())
    limit = None if left is None else TimeLimit(time.monotonic(), time.monotonic() + left)
    return _Run(outset, layer_plan, directory, options, facts, measured, heartbeat, hung, limit)


def _dispatch(world: Communicator, boxes: Mailboxes, planned: _Run, framework: Framework) -> JobResult:
    """Run the control thread beside the worker until the job has ended; results come home on rank 0."""
    growing = GrowingJob(planned.prepared, planned.directory, planned.measured, planned.plan.machine)
    result: JobResult | None = None
    control_comm, answers = world.dup(), world.dup()
    handover = Handover(control_comm, answers, Shelf(planned.prepared.job.artifact_memory))

    def on_this_rank(listener: RunObserver | None, helm: tuple[Dispatcher, Desk] | None = None) -> None:
        hosts = planned.facts.hosts
        watchdog = None if listener is None else Watchdog(hosts, planned.hung)
        heart = Heart(control_comm, hosts, planned.heartbeat, listener, watchdog)
        work(world, Crew(control_comm, boxes, growing, framework, handover, heart, helm, planned.limit))

    if world.rank == 0:
        result = _command(planned, growing, on_this_rank)
    else:
        on_this_rank(None)
    result = world.bcast(result)
    control_comm.free()
    answers.free()
    assert result is not None
    return result


def _command(
    planned: _Run, growing: GrowingJob, go: Callable[[RunObserver, tuple[Dispatcher, Desk]], None]
) -> JobResult:
    """What rank 0 does beside what all do: it keeps the ledger, dispatches and writes down how the job ended."""
    started, clock, directory = datetime.now(timezone.utc), time.monotonic(), planned.directory
    environment = {**asdict(run_facts()), "hosts": list(planned.facts.hosts), "probe": planned.facts.to_dict()}
    write_json_atomically(directory.environment_file, environment)
    _log.info("%s", planned.facts.summary())
    past = read(directory.ledger_file) if directory.ledger_file.exists() else []
    status = StatusFile(directory.status_file, planned.plan.to_dict(), planned.facts.hosts, planned.heartbeat, past)
    attempt = Attempt(planned.attempt, attempt_id())
    with RunObserver(directory, planned.options.progress, planned.options.width, status) as observer:
        scheduler = scheduler_for(planned.prepared.graph, planned.plan, planned.measured, planned.limit)
        dispatcher = Dispatcher(planned.plan, planned.prepared.graph, observer, scheduler, planned.outset.history.tasks)
        observer.record(
            "job_started",
            job=planned.prepared.job.job,
            ranks=planned.prepared.job.ranks,
            policy=planned.plan.policy,
            host=socket.gethostname(),
            **attempt.told(),
        )
        desk = Desk(directory.requests, dispatcher, observer, growing)
        go(observer, (dispatcher, desk))
        desk.close()
        seconds = time.monotonic() - clock
        result = result_of(growing.accepted.job, dispatcher, started, seconds, attempt)
        write_json_atomically(directory.results_file, to_dict(result))
        observer.record("job_ended", status=result.status, seconds=seconds, attempt=attempt.attempt)
    return result
