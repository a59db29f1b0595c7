"""What works on one rank while a job runs: the control thread beside the worker, and what their sessions are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.dispatch.control import ControlThread
from hpcmtl.dispatch.deadline import Timed
from hpcmtl.dispatch.desk import Attended
from hpcmtl.dispatch.worker import Worker
from hpcmtl.pipeline.meeting import open_meeting
from hpcmtl.training.session import SessionContext
from hpcmtl.training.tasks import SESSIONS

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.commands import RunLayer
    from hpcmtl.dispatch.deadline import TimeLimit
    from hpcmtl.dispatch.desk import Desk
    from hpcmtl.dispatch.dispatcher import Dispatcher
    from hpcmtl.dispatch.heartbeat import Heart
    from hpcmtl.dispatch.mailboxes import Mailboxes
    from hpcmtl.dispatch.state import Steersman
    from hpcmtl.exchange.handover import Handover
    from hpcmtl.pipeline.grow import GrowingJob
    from hpcmtl.training.checkpoint import Saved
    from hpcmtl.training.learner import Framework
    from hpcmtl.training.session import Session


@dataclass(frozen=True)
class Crew:
    """The parts of one rank.

    Attributes:
        control_comm: a duplicate of the world for the control threads.
        boxes: what the threads leave for each other.
        growing: the job, which may get more tasks.
        framework: makes networks and learners.
        handover: hands artifacts from memory to memory.
        heart: beats.
        helm: on rank 0, who gives orders, and where requests are taken.
        limit: of the batch job; None where there is none.
    """

    control_comm: Communicator
    boxes: Mailboxes
    growing: GrowingJob
    framework: Framework
    handover: Handover
    heart: Heart
    helm: tuple[Dispatcher, Desk] | None = None
    limit: TimeLimit | None = None


def work(world: Communicator, crew: Crew) -> None:
    """Run the layers of a job as they are ordered, until its end (collective)."""
    dispatcher = crew.helm[0] if crew.helm else None
    steersman: Steersman | None = Attended(*crew.helm) if crew.helm else None
    if dispatcher is not None and steersman is not None and crew.limit is not None:
        steersman = Timed(steersman, dispatcher, crew.limit)
    boxes, growing = crew.boxes, crew.growing
    with open_meeting(world, growing.prepared.job, dispatcher, steersman) as meeting:

        def open_session(command: RunLayer, group: Communicator, states: dict[str, Saved]) -> Session:
            context = SessionContext(
                job=growing.prepared.job,
                task=command.task,
                layers=command.layers,
                step=command.step,
                arrays=growing.prepared.arrays,
                files=growing.prepared.files,
                directory=growing.directory,
                group=group,
                framework=crew.framework,
                report=boxes.progress,
                stop_requested=boxes.should_stop,
                orders=lambda: boxes.layer,
                post=meeting.post,
                handover=crew.handover,
                homes=boxes.homes,
                states=states,
                note=boxes.note,
            )
            return SESSIONS[growing.prepared.job.tasks[command.task].kind](context)

        control = ControlThread(crew.control_comm, boxes, meeting.steersman, crew.handover, crew.heart)
        boxes.ground.meeting = () if meeting.post is None else meeting.post.communicators
        worker = Worker(world, boxes, open_session, growing.take_up)
        control.start()
        worker.work()
        control.join()
