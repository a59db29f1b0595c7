"""Sessions of tasks on a rank: their context, the protocol that they keep, and the outcome of a task layer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol

from hpcmtl.data.sources import Source
from hpcmtl.frameworks.device import HOST
from hpcmtl.jobfile.frameworks import framework_of
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.results.events import LayerEnded, LayerStopped
from hpcmtl.results.undefined import from_nulls, reasons, with_nulls
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.orders import LayerOrders
from hpcmtl.training.streams import RandomStreams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.staging import NodeCopies
    from hpcmtl.exchange.parameter_client import ParameterClient
    from hpcmtl.exchange.peer_transfer import PeerTransfer
    from hpcmtl.frameworks.device import Device
    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.results.curves.point import TaskPoints
    from hpcmtl.results.events import LayerOver, RunEvent
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.step_progress import StepProgress
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.framework import Framework


@dataclass(frozen=True)
class SessionContext:
    """Holds all that the layers of one task need on one rank of one group.

    Attributes:
        job: the whole job, since tasks take networks and arrays from each other.
        task: name of the task.
        layers: number of layers of the task.
        arrays: description of every array of the job by reference, as far as it is known before the run.
        files: data name -> HDF5 file.
        directory: the run directory.
        group: communicator of the ranks that run the task, for the main thread alone.
        step: number of optimizer steps of the task before this group begins; None if it is not known.
        device: device of this rank, of the same kind on all ranks of the group.
        mixed_devices: whether another group of the task may compute on another kind of device.
        modules: folders in which users' modules are looked for.
        member: member id of this rank, by which logs and events name it; None if it has none.
        report: sends the progress of the layer to the dispatcher; only the group's first rank calls it.
        stop_requested: returns true if the layer must stop at the next step boundary.
        orders: returns the other orders for the running layer.
        parameter_client: client of the parameter server; None if the job has no async edges and no merges.
        peer_transfer: transfer of artifacts from memory to memory; None where they go through files alone.
        owners: task that this one needs -> rank of the world that answers for its artifact in memory.
        states: task -> newest checkpoint that this rank has in memory.
        record: sends an event to the ledger; any thread may call it.
        add_points: sends new points of the curves of the task to the sinks.
        copies: copies of the data files on this node; None without `stage`.
    """

    job: Job
    task: str
    layers: int
    arrays: Mapping[str, ArraySpec]
    files: Mapping[str, Path]
    directory: RunDirectory
    group: Communicator
    report: Callable[[StepProgress], None]
    stop_requested: Callable[[], bool]
    step: int | None = None
    orders: Callable[[], LayerOrders] = LayerOrders
    parameter_client: ParameterClient | None = None
    peer_transfer: PeerTransfer | None = None
    owners: Mapping[str, int] = field(default_factory=dict)
    states: dict[str, Checkpoint] = field(default_factory=dict)
    record: Callable[[RunEvent], None] = lambda _event: None
    add_points: Callable[[TaskPoints], None] = lambda _points: None
    device: Device = HOST
    mixed_devices: bool = False
    modules: tuple[Path, ...] = ()
    member: int | None = None
    copies: NodeCopies | None = None

    @property
    def framework(self) -> Framework:
        """Returns the framework of the task; it is imported at the first call.

        Raises:
            EnvironmentUnfitError: it cannot be imported.
        """
        name = framework_of(self.job, self.task)
        assert name is not None, f"{self.task} has no network"
        return open_framework(name)

    @property
    def streams(self) -> RandomStreams:
        """Returns the seeds of the random numbers that the task draws on this rank."""
        return RandomStreams(self.seed("random streams"), self.group.rank)

    def source(self, key: str, reference: str) -> Source:
        """Returns the file and the dataset of a reference."""
        origin, dataset = reference.split("/", 1)
        path = self.files[origin] if origin in self.files else artifact_file(self.directory, origin)
        return Source(key, path, dataset, copies=self.copies)

    def seed(self, *salt: object) -> int:
        """Returns a seed that depends on the job's seed, this task and `salt` alone."""
        text = "/".join(str(part) for part in (self.job.seed, self.task, *salt))
        return zlib.crc32(text.encode()) & 0x7FFFFFFF


@dataclass(frozen=True)
class LayerOutcome:
    """Results of a task layer, from its group's first rank.

    Attributes:
        steps: number of optimizer steps, or of batches for a task that applies a network.
        rows: rows of a step on the rank with the most rows; 0 for a task without rows.
        step_seconds: mean time of a step.
        seconds: time of the whole layer, its checkpoint included.
        stopped: true if the layer was ordered to stop, and ended early at a step boundary, with a checkpoint.
        metrics: values by name; those of a later layer replace those of an earlier one.
        tables: tables of numbers by name, as lists of rows.
        facts: further numbers for the ledger: share of time spent waiting for data, skipped steps, ...
        engine: name of the engine; empty for a task that does not train.
        engine_reason: reason for the choice of the engine.
        compression: form in which gradients travelled.
        reached: optimizer steps of the task since its start; None for a task that does not train.
        ended_early: true if the task made its last step, before the planned ones: no layer follows.
    """

    steps: int
    rows: float
    step_seconds: float
    seconds: float
    stopped: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, list[list[float]]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    engine: str = ""
    engine_reason: str = ""
    compression: str = "none"
    reached: int | None = None
    ended_early: bool = False

    def to_event(self, task: str, layer: int, ranks: int) -> LayerEnded | LayerStopped:
        """Returns the event of the ledger for a layer of a task.

        Args:
            task: name of the task.
            layer: number of the layer, from 0.
            ranks: size of the group.
        """
        kind = LayerStopped if self.stopped else LayerEnded
        same = {name: getattr(self, name) for name in _EVENT_FIELDS}
        metrics, undefined = with_nulls(self.metrics), reasons(self.metrics)
        return kind(task=task, layer=layer, ranks=ranks, metrics=metrics, undefined=undefined, **same)


_EVENT_FIELDS = tuple(each.name for each in fields(LayerOutcome) if each.name not in {"stopped", "metrics"})


def outcome_from_event(event: LayerOver) -> LayerOutcome:
    """Returns the outcome of a layer from its event in the ledger."""
    stopped = isinstance(event, LayerStopped)
    metrics = from_nulls(event.metrics, event.undefined)
    return LayerOutcome(stopped=stopped, metrics=metrics, **{name: getattr(event, name) for name in _EVENT_FIELDS})


class Session(Protocol):
    """A task on a group: runs layers one after the other, then closes. All calls are collective over the group."""

    def run_layer(self, layer: int) -> LayerOutcome:
        """Runs one layer, counted from 0, to its end or to a requested stop.

        Raises:
            TaskFailedError: the task failed on all ranks alike.
        """
        ...

    def close(self) -> None:
        """Releases the group and the engine that belongs to it; a second call does nothing."""
        ...

    def rebinder(self) -> Callable[[Communicator, int | None], None] | None:
        """Returns a function that continues a closed session on another group (collective).

        The function takes the new group and the number of optimizer steps of the task so far. It uses again what this
        rank has built for the task. The state comes from a rank that has it, or from a checkpoint.

        Returns:
            The function; None if the task needs a new session instead.
        """
        ...


def open_session(context: SessionContext) -> Session:
    """Opens a task on a group, by the session of its kind (collective)."""
    session: Session = kind_of(context.job, context.task).session(context)
    return session


def checkpoints_of(directory: RunDirectory, task: str) -> Path:
    """Returns the folder of a task's checkpoints, or of the parts of its outputs."""
    return directory.checkpoints / task


def artifact_file(directory: RunDirectory, task: str) -> Path:
    """Returns the file of the artifact that a task publishes."""
    return directory.artifacts / f"{task}.h5"
