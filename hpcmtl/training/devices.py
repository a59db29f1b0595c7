"""Choice of the device of a task on the ranks of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import TaskFailedError
from hpcmtl.jobfile.frameworks import framework_of
from hpcmtl.jobfile.kinds import kind_of

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.frameworks.device import Device, RankDevices
    from hpcmtl.jobfile.schema import Job


def choose_device(job: Job, task: str, devices: RankDevices, group: Communicator) -> Device:
    """Returns the device of this rank for a task, of the same kind on all ranks of the group (collective).

    `auto` means the GPUs if every rank of the group has one that the framework can use. Replicas on both kinds of
    devices would round differently, and would no longer be equal.

    Args:
        job: the job.
        task: name of the task.
        devices: devices of this rank.
        group: ranks that run the task.

    Raises:
        TaskFailedError: the task asks for GPUs, and a rank of the group has none; on all ranks.
    """
    wanted, framework = kind_of(job, task).device(job, task), framework_of(job, task)
    if framework is None or wanted in {None, "cpu"}:
        return devices.cpu
    gpu = devices.gpu_for(framework)
    have = group.allgather(gpu is not None) if devices.mixed else [gpu is not None] * group.size
    if wanted == "gpu" and not all(have):
        text = f"task {task} asks for GPUs (`device: gpu`), and rank {have.index(False)} of its group has none to use"
        raise TaskFailedError(f"{text}: write `device: auto`, or leave fewer ranks to it (`ranks: {{max: ...}}`)")
    return gpu if gpu is not None and all(have) else devices.cpu
