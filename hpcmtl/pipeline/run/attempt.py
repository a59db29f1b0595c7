"""One attempt at a checked run: planned by rank 0 and carried out by all ranks."""

from __future__ import annotations

import logging
import math
import shutil
import socket
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING

from hpcmtl.data.fingerprint import fingerprints_of, fingerprints_to_json
from hpcmtl.dispatch.coordinator.coordinator import Coordinator
from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
from hpcmtl.dispatch.coordinator.silence import SilenceWatch
from hpcmtl.dispatch.coordinator.task_source import TaskSources
from hpcmtl.dispatch.health.failure_detector import SECONDS_BETWEEN_HEARTBEATS
from hpcmtl.dispatch.health.timing import HeartbeatTiming
from hpcmtl.dispatch.requests.additions import AddedTasks
from hpcmtl.dispatch.requests.request_queue import RequestFolder, RequestQueue
from hpcmtl.dispatch.scheduling.deadline import TimeLimit
from hpcmtl.dispatch.scheduling.select import scheduler_for
from hpcmtl.errors import EnvironmentUnfitError, ExitCode, NoSpaceError
from hpcmtl.exchange.artifact_cache import ArtifactCache
from hpcmtl.exchange.peer_transfer import PeerTransfer
from hpcmtl.jobfile.read import to_yaml
from hpcmtl.launch.durations import grace_seconds, heartbeat_seconds, hung_seconds, stuck_seconds
from hpcmtl.launch.environment import attempt_id, require_time, seconds_left
from hpcmtl.launch.run_facts import run_facts
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.pipeline.live.extension import ExtensibleJob
from hpcmtl.pipeline.prepare import plan
from hpcmtl.pipeline.run.broadcast import broadcast_result
from hpcmtl.pipeline.run.measured import measurements_of
from hpcmtl.pipeline.run.observer import RunObserver, open_observer
from hpcmtl.pipeline.run.result import exit_code, result_of
from hpcmtl.pipeline.run.resume_point import ResumePoint
from hpcmtl.pipeline.run.runtime import RankRuntime, run_rank
from hpcmtl.pipeline.run.user_code import note_code
from hpcmtl.results.events import JobEnded, JobStarted, TaskReset
from hpcmtl.results.outcome.summary import JobResult, RunAttempt, to_dict
from hpcmtl.results.rundir.directory import (
    RunDirectory,
    create,
    make_subdirectories,
    set_aside,
    write_json_atomically,
    write_text_atomically,
)
from hpcmtl.results.rundir.leftovers import remove_orphans
from hpcmtl.results.sinks.terminal import Terminal, open_display
from hpcmtl.results.sinks.tracked import tracked_by
from hpcmtl.training.session import checkpoints_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.rank.channels import ThreadChannels
    from hpcmtl.launch.resources.world import WorldFacts
    from hpcmtl.layerplan.model.speedup import Measurement
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.pipeline.run.options import RunOptions
    from hpcmtl.pipeline.run.resume_point import ResumePoint

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A planned attempt; the same values on all ranks.

    Attributes:
        resume_point: the job, and the work of earlier attempts.
        plan: layer plan.
        directory: run directory.
        options: options of the run.
        facts: facts about all ranks, from the probe.
        measured: measured times of layers that ran before.
        heartbeat: seconds between two heartbeats of a rank.
        hung: seconds from the suspicion of a rank to its fencing; 0 for never.
        survives: whether ranks go on after the loss of others.
        limit: time limit of the batch job; None where there is none.
        time_limit: the time limit in words; an empty text without one.
    """

    resume_point: ResumePoint
    plan: LayerPlan
    directory: RunDirectory
    options: RunOptions
    facts: WorldFacts
    measured: Sequence[Measurement]
    heartbeat: float
    hung: float
    survives: bool
    limit: TimeLimit | None
    time_limit: str

    @property
    def prepared(self) -> Prepared:
        """The job."""
        return self.resume_point.prepared

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return len(self.resume_point.history.attempts) + 1


def begin(resume_point: ResumePoint, options: RunOptions, facts: WorldFacts, *, survives: bool) -> Planned:
    """Plans an attempt and writes job and plan into the run directory, which is made if there is none; on rank 0."""
    prepared, directory = resume_point.prepared, resume_point.directory
    measured = () if options.measured is None else measurements_of(options.measured)
    if resume_point.history.attempts and directory is not None:
        measured += measurements_of(directory.path)
    heartbeat, hung = options.heartbeat or heartbeat_seconds(SECONDS_BETWEEN_HEARTBEATS), hung_seconds()
    layer_plan = plan(prepared, Speedups(measured, facts.machine))
    directory = _write_job(resume_point, options, layer_plan)
    edited = note_code(directory, prepared.modules)
    if edited and resume_point.begun:
        text = "edited since the run began; these tasks have values of the code before"
        _log.warning("%s: %s: %s", ", ".join(map(str, edited)), text, ", ".join(resume_point.begun))
    left = seconds_left(time.time())
    limit = None if left is None else TimeLimit(time.monotonic(), time.monotonic() + left)
    return Planned(
        resume_point=resume_point,
        plan=layer_plan,
        directory=directory,
        options=options,
        facts=facts,
        measured=measured,
        heartbeat=heartbeat,
        hung=hung,
        survives=survives,
        limit=limit,
        time_limit="" if left is None or left <= 0 else require_time(time.time()),
    )


def _write_job(resume_point: ResumePoint, options: RunOptions, layer_plan: LayerPlan) -> RunDirectory:
    """Writes job, plan and the facts of the data into the run directory, which is made if there is none.

    Raises:
        EnvironmentUnfitError: there is no room for a new run; its directory is removed.
        NoSpaceError: there is no room for a further attempt.
    """
    prepared, made = resume_point.prepared, resume_point.directory is None
    directory = resume_point.directory or create(options.root, prepared.job.job)
    make_subdirectories(directory)
    if removed := remove_orphans(directory):
        _log.info("half-written files of an attempt that was killed are removed (%d)", len(removed))
    set_aside(directory)
    for name in resume_point.reset:
        _set_checkpoints_aside(checkpoints_of(directory, name), len(resume_point.history.attempts))
    try:
        write_text_atomically(directory.job_file, to_yaml(prepared.resolved()))
        write_json_atomically(directory.plan_file, layer_plan.to_dict())
        write_json_atomically(directory.data_file, fingerprints_to_json(fingerprints_of(prepared.files.values())))
    except NoSpaceError as error:
        if not made:
            raise
        shutil.rmtree(directory.path)  # no resume could go on from it
        text = f"{error.path}: {error.reason}: free space there, and start the run again"
        raise EnvironmentUnfitError(text) from error
    return directory


def _set_checkpoints_aside(folder: Path, attempt: int) -> None:
    """Renames the checkpoints of a task that begins again; no task can have the new name."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}~{attempt}"))


def dispatch(world: Communicator, channels: ThreadChannels, planned: Planned) -> JobResult | NoSpaceError | None:
    """Runs the job on all ranks until its end, and gives its result to all of them (collective).

    Returns:
        The result, or the error with which it could not be written; None if the attempt was abandoned:
        `channels.comms.main` then has the living ranks.
    """
    control_comm, answers = world.dup(), world.dup()
    channels.comms.patience = planned.hung or math.inf
    runtime = RankRuntime(
        control_comm=control_comm,
        channels=channels,
        job=ExtensibleJob(planned.prepared, planned.directory, planned.measured, planned.plan.machine),
        devices=planned.facts.devices(world.rank),
        peer_transfer=PeerTransfer(control_comm, answers, ArtifactCache(planned.prepared.job.artifact_memory)),
        hosts=planned.facts.hosts,
        timing=HeartbeatTiming(interval=planned.heartbeat, hung=planned.hung),
    )
    result: JobResult | NoSpaceError | None = None
    if world.rank == 0:
        result = _coordinate(world, runtime, planned)
    else:
        run_rank(world, runtime)
    if channels.abandoned:
        return None
    return broadcast_result(result, channels.comms.main or world, [control_comm, answers], planned.directory)


def _coordinate(world: Communicator, runtime: RankRuntime, planned: Planned) -> JobResult | NoSpaceError | None:
    """Runs rank 0, which also keeps the ledger, coordinates, and writes the completion record.

    Returns:
        The result, or the error with which it could not be written; None if the attempt was abandoned.
    """
    clock = time.monotonic()
    _note_environment(planned)
    with _observer(planned) as observer:
        coordinator = _coordinator(planned, runtime.job, observer)
        _record_start(planned, observer)
        record_end = partial(_record_end, planned, runtime.job, observer, clock)
        run_rank(world, runtime, coordinator, observer, partial(_record_stop, record_end))
        if runtime.channels.abandoned:
            return None
        coordinator.close()
        try:
            return record_end()
        except NoSpaceError as error:  # all ranks end by it: an abort of one gives the launcher any exit code
            return error


def _record_start(planned: Planned, observer: RunObserver) -> None:
    started_event = JobStarted(
        job=planned.prepared.job.job,
        ranks=planned.prepared.job.ranks,
        policy=planned.plan.policy,
        host=socket.gethostname(),
        **RunAttempt(planned.attempt, attempt_id()).to_event(),
    )
    observer.record(started_event)
    for name, changed in planned.resume_point.reset.items():
        observer.record(TaskReset(task=name, changed=changed))
    for damaged in planned.resume_point.damaged:
        observer.record(damaged)


def _record_stop(record_end: Callable[[str], JobResult], reason: str) -> ExitCode:
    """Records an end that leaves layers running; returns the exit code, also where there is no room for the record."""
    try:
        return exit_code(record_end(reason))
    except OSError:
        return ExitCode.STOPPED


def _record_end(
    planned: Planned, job: ExtensibleJob, observer: RunObserver, clock: float, message: str = ""
) -> JobResult:
    """Writes the completion record and the last event; `message` is the reason of an end that is no task's."""
    attempt = RunAttempt(planned.attempt, attempt_id())
    seconds = time.monotonic() - clock  # not by the wall clock, which may be set meanwhile
    started = datetime.now(timezone.utc) - timedelta(seconds=seconds)
    result = replace(result_of(job.accepted.job, observer.state, started, seconds, attempt), message=message)
    write_json_atomically(planned.directory.results_file, to_dict(result))
    observer.record(JobEnded(status=result.status, seconds=seconds, attempt=attempt.attempt))
    return result


def _note_environment(planned: Planned) -> None:
    environment = {**asdict(run_facts()), "hosts": list(planned.facts.hosts), "probe": planned.facts.to_dict()}
    write_json_atomically(planned.directory.environment_file, environment)
    _log.info("%s", planned.facts.summary())
    if planned.time_limit:
        _log.info("%s", planned.time_limit)


def _observer(planned: Planned) -> RunObserver:
    """Opens the ledger, the display and the other sinks of the attempt."""
    job, directory = planned.prepared.job, planned.directory
    display = Terminal(open_display(planned.options.progress, sys.stderr, planned.options.width))
    sinks = [display, *tracked_by(job.track, directory, job.job)]
    return open_observer(directory, planned.plan.to_dict(), planned.facts.hosts, planned.heartbeat, sinks)


def _coordinator(planned: Planned, job: ExtensibleJob, observer: RunObserver) -> Coordinator:
    """Returns the coordinator of the attempt, with ``hpcmtl add`` as its task source."""
    graph, history = planned.prepared.graph, planned.resume_point.history.tasks
    scheduler = scheduler_for(graph, planned.plan, planned.measured, planned.limit)
    folder = RequestFolder(planned.directory.requests, observer.record)
    added = AddedTasks(job, folder.answer)
    sources = TaskSources((added,))
    dispatcher = Dispatcher(planned.plan, graph, observer, scheduler, history=history, sources=sources)
    dispatcher.silence = SilenceWatch(stuck_seconds(), survives=planned.survives)
    requests = RequestQueue(folder, dispatcher, added)
    return Coordinator(dispatcher, requests=requests, limit=planned.limit, grace=grace_seconds())
