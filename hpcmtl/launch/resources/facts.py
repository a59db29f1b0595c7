"""Resources that one rank finds on its node: cores, limits, memory, load, GPUs, disk space."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.launch.environment import node_id, rank_environment
from hpcmtl.launch.resources.cgroups import Limits, cgroup_limits
from hpcmtl.launch.resources.gpus import Gpu, visible_gpus

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RankFacts:
    """Holds the resources of one rank, which the ranks of a node may share.

    Attributes:
        host: name of the node.
        cores: numbers of the cores that the rank may run on.
        limits: limits of its control groups.
        memory_total: bytes of the node.
        memory_available: unused bytes of the node.
        load: load average of the node over the last minute.
        gpus: GPUs that the rank may use, in the order of their numbers.
        scratch: directory for temporary files.
        scratch_free: free bytes there.
        runs_free: free bytes where the run directory is created.
        local_rank: rank among those of the node, as the launcher says; None if it says nothing.
    """

    host: str
    cores: tuple[int, ...]
    limits: Limits
    memory_total: int
    memory_available: int
    load: float
    gpus: tuple[Gpu, ...]
    scratch: str
    scratch_free: int
    runs_free: int
    local_rank: int | None = None

    @property
    def memory(self) -> int:
        """Bytes that all ranks of the node may use together."""
        return min(self.memory_total, self.limits.memory or self.memory_total)


def rank_facts(runs: Path) -> RankFacts:
    """Collects the resources of this rank.

    Args:
        runs: parent of the run directories; need not exist yet.
    """
    import psutil  # imported on ranks only: a login node may lack it

    memory, scratch, launched = psutil.virtual_memory(), tempfile.gettempdir(), rank_environment()
    return RankFacts(
        host=node_id(),
        cores=tuple(sorted(os.sched_getaffinity(0))),
        limits=cgroup_limits(),
        memory_total=memory.total,
        memory_available=memory.available,
        load=os.getloadavg()[0],
        gpus=visible_gpus(),
        scratch=scratch,
        scratch_free=shutil.disk_usage(scratch).free,
        runs_free=shutil.disk_usage(_existing(runs.absolute())).free,
        local_rank=None if launched is None else launched.local_rank,
    )


def memory_now() -> tuple[int, int]:
    """Returns the resident bytes of this process and the unused bytes of its node."""
    import psutil

    return psutil.Process().memory_info().rss, psutil.virtual_memory().available


def born_at(pid: int) -> float | None:
    """Returns the start time of a process of this node in seconds since 1970, or None if there is no such process."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def waits_for_disk(pid: int) -> bool:
    """Returns True if a thread of a process of this node is in uninterruptible sleep, as if a disk did not respond."""
    import psutil

    try:
        threads = psutil.Process(pid).threads()
    except psutil.Error:
        return False
    states = []
    for thread in threads:
        with suppress(psutil.Error):  # it has ended meanwhile
            states.append(psutil.Process(thread.id).status())
    return psutil.STATUS_DISK_SLEEP in states


def _existing(path: Path) -> Path:
    """Returns the path, or its nearest existing ancestor."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
