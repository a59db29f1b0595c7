"""The parameter server of a running job: opened on all ranks, and told by the coordinator which tasks run."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
from hpcmtl.exchange.parameter_client import ParameterClient, ParameterServerThread
from hpcmtl.exchange.parameter_server import ParameterServer
from hpcmtl.jobfile.coupling import is_coupled
from hpcmtl.training.coupling.merging import combine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.coordinator.coordinator import Coordinator
    from hpcmtl.jobfile.schema import Job


@contextmanager
def parameter_exchange(
    world: Communicator, job: Job, coordinator: Coordinator | None
) -> Iterator[ParameterClient | None]:
    """Runs the parameter server of a job whose tasks exchange parameters (collective).

    An error in the block leaves all as it is: it ends the run.

    Args:
        world: all ranks.
        job: the job at the start.
        coordinator: on rank 0; the server subscribes to its decisions.

    Yields:
        The client of this rank; None if no tasks of the job exchange parameters while they run.
    """
    if not is_coupled(job):
        yield None
        return
    requests, replies = world.dup(), world.dup()
    client, server = ParameterClient(requests, replies), None
    if coordinator is not None:
        members = {name: merge.tasks for name, merge in job.merge.items()}
        server = ParameterServerThread(requests, replies, ParameterServer(members, combine))
        server.start()
        coordinator.subscribe(server)
    yield client
    with suppress(RankLostError):  # the attempt was abandoned: no thread receives this message
        client.close()
    if server is not None:
        server.join()
    for comm in client.communicators:
        with suppress(RankLostError):
            comm.free()
