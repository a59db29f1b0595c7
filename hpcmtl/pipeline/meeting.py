"""The office of a running job whose tasks exchange parameters: opened on all ranks, fed by the dispatcher on rank 0."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.dispatch.announce import Announcing
from hpcmtl.exchange.merging import combine
from hpcmtl.exchange.office import Office
from hpcmtl.exchange.post import OfficeThread, Post
from hpcmtl.jobfile.coupling import is_coupled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.dispatcher import Dispatcher
    from hpcmtl.dispatch.state import Steersman
    from hpcmtl.jobfile.schema import Job


@dataclass(frozen=True)
class Meeting:
    """What the parts of a rank need of the office.

    Attributes:
        post: for sessions; None if no tasks of the job meet.
        steersman: for the control thread of rank 0: it tells the office who runs.
    """

    post: Post | None
    steersman: Steersman | None


@contextmanager
def open_meeting(
    world: Communicator, job: Job, dispatcher: Dispatcher | None, steersman: Steersman | None
) -> Iterator[Meeting]:
    """Run the office of a job that needs one (collective); an error in the block is left to end the run.

    Args:
        world: all ranks.
        job: as it is at the start.
        dispatcher: on rank 0.
        steersman: on rank 0, the dispatcher or what stands before it.
    """
    if not is_coupled(job):
        yield Meeting(None, steersman)
        return
    requests, replies = world.dup(), world.dup()
    post = Post(requests, replies)
    if dispatcher is None or steersman is None:
        yield Meeting(post, None)
        post.close()
    else:
        office = Office({name: merge.tasks for name, merge in job.merge.items()}, combine)
        thread = OfficeThread(requests, replies, office)
        thread.start()
        yield Meeting(post, Announcing(steersman, dispatcher, thread.announce))
        post.close()
        thread.join()
    requests.free()
    replies.free()
