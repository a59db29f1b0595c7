"""Resources that one rank finds on its node: cores, limits, memory, load, GPUs, disk space."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.launch.environment import node_id
from hpcmtl.launch.resources.cgroups import Limits, cgroup_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

SMI_SECONDS = 5.0  # time limit; a broken driver may never reply
_DRIVER = Path("/proc/driver/nvidia/gpus")


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
        gpus: number of visible GPUs.
        scratch: directory for temporary files.
        scratch_free: free bytes there.
        runs_free: free bytes where the run directory is created.
    """

    host: str
    cores: tuple[int, ...]
    limits: Limits
    memory_total: int
    memory_available: int
    load: float
    gpus: int
    scratch: str
    scratch_free: int
    runs_free: int

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

    memory, scratch = psutil.virtual_memory(), tempfile.gettempdir()
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


def visible_gpus(environ: Mapping[str, str] = os.environ, driver: Path = _DRIVER) -> int:
    """Returns the number of GPUs that this process may use, by the driver's own lists, without a framework."""
    there = len(list(driver.iterdir())) if driver.is_dir() else _count_by_smi()
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return there
    chosen = 0
    for name in wanted.split(","):  # CUDA ignores all after the first invalid one
        if not name.strip() or name.strip().startswith("-"):
            break
        chosen += 1
    return min(chosen, there)


def _count_by_smi() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run(  # noqa: S603 - a system program with a fixed argument
            [program, "-L"], capture_output=True, text=True, check=False, timeout=SMI_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _existing(path: Path) -> Path:
    """Returns the path, or its nearest existing ancestor."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
