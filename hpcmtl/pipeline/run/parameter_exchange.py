"""Opens the parameter server of a job whose tasks exchange parameters while they run, and a client on every rank."""

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
    """Connections of one rank with the parameter server.

    Attributes:
        client: client for sessions; None if no tasks of the job exchange parameters while they run.
        coordinator: coordinator for the control thread of rank 0; it reports the running tasks to the server.
    """

    client: ParameterClient | None
    coordinator: Coordinator | None


@contextmanager
def parameter_exchange(
    world: Communicator, job: Job, dispatcher: Dispatcher | None, coordinator: Coordinator | None
) -> Iterator[ParameterExchange]:
    """Runs the parameter server of a job that needs one (collective); an error in the block ends the run.

    Args:
        world: communicator of all ranks.
        job: job at its start.
        dispatcher: dispatcher on rank 0, None elsewhere.
        coordinator: coordinator of the control thread on rank 0, None elsewhere.
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
    with suppress(RankLostError):  # the attempt was abandoned: no thread receives this message
        client.close()
    if server is not None:
        server.join()
    for comm in client.communicators:
        with suppress(RankLostError):
            comm.free()
