"""The office of a running job whose tasks exchange parameters: opened on all ranks, fed by the dispatcher on rank 0."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
from hpcmtl.dispatch.coordinator.announce import Announcing
from hpcmtl.exchange.parameter_client import ParameterClient, ParameterServerThread
from hpcmtl.exchange.parameter_server import ParameterServer
from hpcmtl.jobfile.coupling import is_coupled
from hpcmtl.training.coupling.merging import combine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import Coordinator
    from hpcmtl.jobfile.schema import Job


@dataclass(frozen=True)
class ParameterExchange:
    """What the parts of a rank need of the office.

    Attributes:
        client: for sessions; None if no tasks of the job meet.
        coordinator: for the control thread of rank 0: it tells the office who runs.
    """

    client: ParameterClient | None
    coordinator: Coordinator | None


@contextmanager
def parameter_exchange(
    world: Communicator, job: Job, dispatcher: Dispatcher | None, coordinator: Coordinator | None
) -> Iterator[ParameterExchange]:
    """Run the office of a job that needs one (collective); an error in the block is left to end the run.

    Args:
        world: all ranks.
        job: as it is at the start.
        dispatcher: on rank 0.
        coordinator: on rank 0, the dispatcher or what stands before it.
    """
    if not is_coupled(job):
        yield ParameterExchange(None, coordinator)
        return
    requests, replies = world.dup(), world.dup()
    client, server = ParameterClient(requests, replies), None
    if dispatcher is not None and coordinator is not None:
        members = {name: merge.tasks for name, merge in job.merge.items()}
        server = ParameterServerThread(requests, replies, ParameterServer(members, combine))
        server.start()
        coordinator = Announcing(coordinator, dispatcher, server.announce)
    yield ParameterExchange(client, coordinator)
    with suppress(RankLostError):  # the attempt was given up: nobody waits for this word
        client.close()
    if server is not None:
        server.join()
    for comm in client.communicators:
        with suppress(RankLostError):
            comm.free()
