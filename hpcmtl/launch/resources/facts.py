"""What one rank finds on its node: cores, limits, memory, load, GPUs, room for files."""

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

SECONDS_FOR_SMI = 5.0  # a driver in trouble may never answer
_DRIVER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class RankFacts:
    """What one rank can use, which it may share with the other ranks of its node.

    Attributes:
        host: name of its node.
        cores: numbers of the cores that it may run on.
        limits: of its control groups.
        memory_total: bytes of the node.
        memory_available: bytes of the node that nobody uses.
        load: processes of the node that ran or wanted to, mean over the last minute.
        gpus: number that it sees.
        scratch: directory for temporary files.
        scratch_free: bytes free there.
        runs_free: bytes free where the run directory is made.
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
    """Look around.

    Args:
        runs: where run directories are made; need not exist yet.
    """
    import psutil  # only where ranks run: a login node plans without it

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
    """Bytes that this process holds, and bytes of the node that nobody uses."""
    import psutil

    return psutil.Process().memory_info().rss, psutil.virtual_memory().available


def born_at(pid: int) -> float | None:
    """When a process of this node began, in seconds since 1970; None if there is none with this number."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def waits_for_disk(pid: int) -> bool:
    """Whether a thread of a process of this node is in a call that nothing interrupts: as if a disk did not answer."""
    states = []
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            states.append(file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0])
    return "D" in states


def visible_gpus(environ: Mapping[str, str] = os.environ, driver: Path = _DRIVER) -> int:
    """Number of GPUs that this process may use, by the driver's own lists: no framework is imported for it."""
    there = len(list(driver.iterdir())) if driver.is_dir() else _asked_smi()
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return there
    chosen = 0
    for name in wanted.split(","):  # CUDA stops at the first that is none
        if not name.strip() or name.strip().startswith("-"):
            break
        chosen += 1
    return min(chosen, there)


def _asked_smi() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed word to a program of the system
            [program, "-L"], capture_output=True, text=True, check=False, timeout=SECONDS_FOR_SMI
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
