"""The office of a running job whose tasks exchange parameters: opened on all ranks, fed by the dispatcher on rank 0."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
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
    post, office = Post(requests, replies), None
    if dispatcher is not None and steersman is not None:
        members = {name: merge.tasks for name, merge in job.merge.items()}
        office = OfficeThread(requests, replies, Office(members, combine))
        office.start()
        steersman = Announcing(steersman, dispatcher, office.announce)
    yield Meeting(post, steersman)
    with suppress(RankLostError):  # the attempt was given up: nobody waits for this word
        post.close()
    if office is not None:
        office.join()
    for comm in post.communicators:
        with suppress(RankLostError):
            comm.free()
