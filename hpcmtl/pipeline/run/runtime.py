"""What works on one rank while a job runs: the control thread beside the worker, and what their sessions are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.dispatch.rank.control import ControlThread
from hpcmtl.dispatch.rank.worker import Worker
from hpcmtl.dispatch.requests.request_queue import Attended
from hpcmtl.dispatch.scheduling.deadline import Timed
from hpcmtl.pipeline.run.parameter_exchange import parameter_exchange
from hpcmtl.training.session import SessionContext, open_session

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import Coordinator
    from hpcmtl.dispatch.health.heartbeat import HeartbeatSender
    from hpcmtl.dispatch.protocol import RunLayer
    from hpcmtl.dispatch.rank.channels import ThreadChannels
    from hpcmtl.dispatch.requests.request_queue import RequestQueue
    from hpcmtl.dispatch.scheduling.deadline import TimeLimit
    from hpcmtl.exchange.peer_transfer import PeerTransfer
    from hpcmtl.frameworks.device import Device
    from hpcmtl.pipeline.live.extension import ExtensibleJob
    from hpcmtl.training.checkpointing.checkpoint import Checkpoint
    from hpcmtl.training.session import Session


@dataclass(frozen=True)
class RankRuntime:
    """The parts of one rank.

    Attributes:
        control_comm: a duplicate of the world for the control threads.
        channels: what the threads leave for each other.
        job: the job, which may get more tasks.
        device: the device of this rank.
        peer_transfer: hands artifacts from memory to memory.
        heartbeat_sender: beats.
        leader: on rank 0, who gives orders, and where requests are taken.
        limit: of the batch job; None where there is none.
    """

    control_comm: Communicator
    channels: ThreadChannels
    job: ExtensibleJob
    device: Device
    peer_transfer: PeerTransfer
    heartbeat_sender: HeartbeatSender
    leader: tuple[Dispatcher, RequestQueue] | None = None
    limit: TimeLimit | None = None


def run_rank(world: Communicator, runtime: RankRuntime) -> None:
    """Run the layers of a job as they are ordered, until its end (collective)."""
    dispatcher = runtime.leader[0] if runtime.leader else None
    coordinator: Coordinator | None = Attended(*runtime.leader) if runtime.leader else None
    if dispatcher is not None and coordinator is not None and runtime.limit is not None:
        coordinator = Timed(coordinator, dispatcher, runtime.limit)
    channels, job = runtime.channels, runtime.job
    with parameter_exchange(world, job.prepared.job, dispatcher, coordinator) as exchange:

        def session_of(command: RunLayer, group: Communicator, states: dict[str, Checkpoint]) -> Session:
            context = SessionContext(
                job=job.prepared.job,
                task=command.task,
                layers=command.layers,
                step=command.step,
                arrays=job.prepared.arrays,
                files=job.prepared.files,
                directory=job.directory,
                group=group,
                device=runtime.device,
                report=channels.progress,
                stop_requested=channels.should_stop,
                orders=lambda: channels.layer,
                parameter_client=exchange.client,
                peer_transfer=runtime.peer_transfer,
                owners=channels.owners,
                states=states,
                record=channels.record,
            )
            return open_session(context)

        control = ControlThread(
            runtime.control_comm, channels, exchange.coordinator, runtime.peer_transfer, runtime.heartbeat_sender
        )
        channels.comms.parameter_exchange = () if exchange.client is None else exchange.client.communicators
        worker = Worker(world, channels, session_of, job.extend)
        control.start()
        worker.run()
        control.join()
