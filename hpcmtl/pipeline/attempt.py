"""One attempt at a run that has been found sound: planned by rank 0, and carried through by all."""

from __future__ import annotations

import logging
import math
import socket
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import yaml

from hpcmtl.dispatch.deadline import TimeLimit
from hpcmtl.dispatch.desk import Desk
from hpcmtl.dispatch.dispatcher import Dispatcher
from hpcmtl.dispatch.heartbeat import Heart
from hpcmtl.dispatch.scheduler import scheduler_for
from hpcmtl.exchange.handover import Handover
from hpcmtl.exchange.shelf import Shelf
from hpcmtl.launch.environment import (
    attempt_id,
    heartbeat_seconds,
    hung_seconds,
    run_facts,
    seconds_left,
)
from hpcmtl.layerplan.speedup import Speedups
from hpcmtl.pipeline.crew import Crew, work
from hpcmtl.pipeline.grow import GrowingJob
from hpcmtl.pipeline.homecoming import bring_home
from hpcmtl.pipeline.measured import measurements_of
from hpcmtl.pipeline.observe import RunObserver
from hpcmtl.pipeline.prepare import plan
from hpcmtl.pipeline.result import result_of
from hpcmtl.pipeline.resume import Outset
from hpcmtl.pipeline.statusfile import StatusFile
from hpcmtl.results.ledger import read
from hpcmtl.results.live import SECONDS_BETWEEN_BEATS
from hpcmtl.results.rundir import RunDirectory, create, furnish, set_aside, write_json_atomically, write_text_atomically
from hpcmtl.results.summary import Attempt, JobResult, to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.mailboxes import Mailboxes
    from hpcmtl.launch.world import WorldFacts
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.layerplan.speedup import Measurement
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.pipeline.resume import Outset
    from hpcmtl.pipeline.run import RunOptions
    from hpcmtl.training.learner import Framework

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
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


def begin(outset: Outset, options: RunOptions, facts: WorldFacts) -> Planned:
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
    furnish(directory)
    set_aside(directory)
    write_text_atomically(directory.job_file, yaml.safe_dump(prepared.resolved(), sort_keys=False))
    write_json_atomically(directory.plan_file, layer_plan.to_dict())
    left = seconds_left(time.time())
    limit = None if left is None else TimeLimit(time.monotonic(), time.monotonic() + left)
    return Planned(outset, layer_plan, directory, options, facts, measured, heartbeat, hung, limit)


def dispatch(world: Communicator, boxes: Mailboxes, planned: Planned, framework: Framework) -> JobResult | None:
    """Run the control thread beside the worker until the job has ended; results come home on rank 0.

    Returns:
        How the job ended, or None if the attempt was given up: `boxes.ground.world` has the ranks that live.
    """
    growing = GrowingJob(planned.prepared, planned.directory, planned.measured, planned.plan.machine)
    result: JobResult | None = None
    control_comm, answers = world.dup(), world.dup()
    boxes.ground.patience = planned.hung or math.inf
    handover = Handover(control_comm, answers, Shelf(planned.prepared.job.artifact_memory))

    def on_this_rank(listener: RunObserver | None, helm: tuple[Dispatcher, Desk] | None = None) -> None:
        heart = Heart(control_comm, planned.facts.hosts, planned.heartbeat, listener, planned.hung)
        work(world, Crew(control_comm, boxes, growing, framework, handover, heart, helm, planned.limit))

    if world.rank == 0:
        result = _command(planned, growing, on_this_rank, boxes)
    else:
        on_this_rank(None)
    if boxes.disbanded:
        return None
    return bring_home(result, boxes.ground.world or world, (control_comm, answers), planned.directory)


def _command(
    planned: Planned, growing: GrowingJob, go: Callable[[RunObserver, tuple[Dispatcher, Desk]], None], boxes: Mailboxes
) -> JobResult | None:
    """What rank 0 does beside what all do: it keeps the ledger, dispatches and writes down how the job ended.

    Returns:
        How it ended, or None if the attempt was given up.
    """
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
        if boxes.disbanded:
            return None
        desk.close()
        seconds = time.monotonic() - clock
        result = result_of(growing.accepted.job, dispatcher, started, seconds, attempt)
        write_json_atomically(directory.results_file, to_dict(result))
        observer.record("job_ended", status=result.status, seconds=seconds, attempt=attempt.attempt)
    return result
