"""The runtime of one rank: its control thread, its worker, and the sessions that the worker opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.dispatch.health.heartbeat import HeartbeatSender
from hpcmtl.dispatch.rank.control import ControlThread
from hpcmtl.dispatch.rank.worker import Worker
from hpcmtl.pipeline.run.parameter_exchange import parameter_exchange
from hpcmtl.pipeline.run.staged_data import staged_data
from hpcmtl.training.devices import choose_device
from hpcmtl.training.session import SessionContext, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.staging import NodeCopies
    from hpcmtl.dispatch.coordinator.coordinator import Coordinator
    from hpcmtl.dispatch.health.heartbeat import Listener
    from hpcmtl.dispatch.health.timing import HeartbeatTiming
    from hpcmtl.dispatch.protocol import RunLayer
    from hpcmtl.dispatch.rank.channels import ThreadChannels
    from hpcmtl.errors import ExitCode
    from hpcmtl.exchange.parameter_client import ParameterClient
    from hpcmtl.exchange.peer_transfer import PeerTransfer
    from hpcmtl.frameworks.device import RankDevices
    from hpcmtl.pipeline.live.extension import ExtensibleJob
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.session import Session


@dataclass(frozen=True, kw_only=True)
class RankRuntime:
    """The parts of one rank.

    Attributes:
        control_comm: a duplicate of the world for the control threads.
        channels: queues and flags between the two threads.
        job: the job, which may get more tasks.
        devices: the devices of this rank.
        peer_transfer: hands artifacts from memory to memory.
        hosts: host of each rank.
        timing: intervals of heartbeats and of the watchdog.
    """

    control_comm: Communicator
    channels: ThreadChannels
    job: ExtensibleJob
    devices: RankDevices
    peer_transfer: PeerTransfer
    hosts: Sequence[str]
    timing: HeartbeatTiming


@dataclass(frozen=True, kw_only=True)
class SessionFactory:
    """Opens the sessions of one rank.

    Attributes:
        runtime: the parts of the rank.
        parameter_client: reaches the parameter server; None if no tasks exchange parameters while they run.
        copies: copies of the data files on this node; None if the job does not ask for them.
    """

    runtime: RankRuntime
    parameter_client: ParameterClient | None
    copies: NodeCopies | None = None

    def open(self, command: RunLayer, group: Communicator, states: dict[str, Checkpoint]) -> Session:
        """Opens the session of a task on a group (collective over the group).

        Args:
            command: the layer that the session begins with.
            group: communicator of the group, for the main thread alone.
            states: the newest checkpoint of each task, as far as this rank knows them; sessions keep it up to date.
        """
        runtime, job, channels = self.runtime, self.runtime.job, self.runtime.channels
        context = SessionContext(
            job=job.prepared.job,
            task=command.task,
            layers=command.layers,
            step=command.step,
            arrays=job.prepared.arrays,
            files=job.prepared.files,
            directory=job.directory,
            group=group,
            device=choose_device(job.prepared.job, command.task, runtime.devices, group),
            mixed_devices=runtime.devices.mixed,
            modules=job.prepared.modules,
            report=channels.progress,
            stop_requested=channels.should_stop,
            orders=lambda: channels.layer,
            parameter_client=self.parameter_client,
            peer_transfer=runtime.peer_transfer,
            owners=channels.owners,
            states=states,
            record=channels.record,
            add_points=channels.add_points,
            member=command.group[group.rank],
            copies=self.copies,
        )
        return open_session(context)


def run_rank(
    world: Communicator,
    runtime: RankRuntime,
    coordinator: Coordinator | None = None,
    listener: Listener | None = None,
    record_stop: Callable[[str], ExitCode] | None = None,
) -> None:
    """Runs the layers that the coordinator orders, until the end of the job (collective).

    Args:
        world: all ranks.
        runtime: the parts of this rank.
        coordinator: on rank 0.
        listener: on rank 0; takes heartbeats and what they tell about ranks.
        record_stop: on rank 0; records the end of the run for a reason, while layers still run.
    """
    channels = runtime.channels
    heartbeat = HeartbeatSender(runtime.control_comm, runtime.hosts, runtime.timing, listener)
    exchange = parameter_exchange(world, runtime.job.prepared.job, coordinator)
    with exchange as client, staged_data(runtime.job.prepared, runtime.job.directory) as copies:
        serve = runtime.peer_transfer
        control = ControlThread(runtime.control_comm, channels, coordinator, serve, heartbeat, record_stop=record_stop)
        channels.comms.parameter_exchange = () if client is None else client.communicators
        factory = SessionFactory(runtime=runtime, parameter_client=client, copies=copies)
        worker = Worker(world, channels, factory.open, runtime.job.extend)
        control.start()
        worker.run()
        control.join()
