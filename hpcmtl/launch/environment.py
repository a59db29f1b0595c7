"""Reads the environment of a process: its place among the ranks, its batch job, and settings.

It is the only reader of the launchers' environment variables.
"""

from __future__ import annotations

import itertools
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.pmix_server import is_gone, server_answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class _Launcher:
    """Names of the variables by which one launcher gives a process its place."""

    name: str
    rank: str
    size: str | None
    local_rank: str | None


# The first launcher whose variables are set counts: mpirun inside a Slurm step leaves both sets, and its own is right.
# For Slurm the variables of the step: a batch script, which is no rank, has those of the job.
_LAUNCHERS = (
    _Launcher("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    _Launcher("Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    _Launcher("PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    _Launcher("PMIx", "PMIX_RANK", None, None),
)
_PMIX_SERVER = "PMIX_SERVER_URI"
_DIGITS_OF_TIME = 11  # of seconds since 1970; milliseconds have more
_PREFIXES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_LOCAL")


@dataclass(frozen=True)
class RankEnvironment:
    """Place of this process as its launcher gives it; the world of MPI is compared with it.

    Attributes:
        launcher: name of the launcher.
        rank: rank in the world, from 0.
        size: number of ranks; None if the launcher does not give it.
        local_rank: rank among those of this host; None if the launcher does not give it.
    """

    launcher: str
    rank: int
    size: int | None
    local_rank: int | None


def rank_environment(environ: Mapping[str, str] = os.environ) -> RankEnvironment | None:
    """Returns the place of this process among the ranks, or None if no MPI launcher started it.

    A Slurm step of one task is taken for a shell (``srun --pty bash``), not for a world of one rank. A PMIX_RANK
    without the address of a server is a remainder of a launch that is over.
    """
    for launcher in _LAUNCHERS:
        needed = [name for name in (launcher.rank, launcher.size) if name is not None]
        if not all(_is_number(environ.get(name, "")) for name in needed):
            continue
        if launcher.size is None and not any(name.startswith(_PMIX_SERVER) for name in environ):
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
    """Returns true if a text has only the digits 0 to 9; `isdigit` alone accepts a raised 2, which `int` refuses."""
    return text.isascii() and text.isdigit()


def inside_mpi(environ: Mapping[str, str] = os.environ) -> bool:
    """Returns true if an MPI launcher started this process as a rank."""
    return rank_environment(environ) is not None


def require_world(size: int, environ: Mapping[str, str] = os.environ) -> None:
    """Refuses N singletons: N processes of one launch, each of which is rank 0 of 1 for MPI.

    Args:
        size: size of the world that MPI reports.
        environ: environment of this process.

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


def require_launcher(environ: Mapping[str, str] = os.environ) -> None:
    """Refuses the variables of a launcher that has ended: MPI would end this process by a signal.

    Containers often lack the directory of the PMIx server, which ranks reach by its address then.

    Raises:
        EnvironmentUnfitError: the directory of its PMIx server is gone, and no server answers.
    """
    place, folder = rank_environment(environ), environ.get("PMIX_SERVER_TMPDIR", "")
    if place is None or not folder or not is_gone(Path(folder)):
        return
    if server_answers({value for name, value in environ.items() if name.startswith(_PMIX_SERVER)}):
        return
    raise EnvironmentUnfitError(
        f"the environment says that this is rank {place.rank} of a start by {place.launcher}, which has ended: its "
        f"PMIX_SERVER_TMPDIR={folder} does not exist, and no server answers. Use a new shell, or unset "
        f"the variables that begin with {', '.join(_PREFIXES)}"
    )


def without_launcher(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the environment for a child process that must not take itself for a rank of this world."""
    if not inside_mpi(environ):
        return dict(environ)
    return {name: value for name, value in environ.items() if not name.startswith(_PREFIXES)}


def attempt_id(environ: Mapping[str, str] = os.environ) -> str:
    """Returns the batch script's name of this attempt (HPCMTL_ATTEMPT_ID), which marks its completion record."""
    return environ.get("HPCMTL_ATTEMPT_ID", "")


def seconds_left(now: float, environ: Mapping[str, str] = os.environ) -> float | None:
    """Returns the seconds until the time limit of the batch job, or None without one; see `end_time`."""
    found = end_time(environ)
    return None if found is None else found[1] - now


def require_time(now: float, environ: Mapping[str, str] = os.environ) -> str:
    """Returns a sentence on the time limit of the batch job; an empty text without one.

    Raises:
        EnvironmentUnfitError: the time is in the past, or a variable is no whole number of seconds.
    """
    found = end_time(environ)
    if found is None:
        return ""
    name, seconds = found
    shown = f"{datetime.fromtimestamp(seconds, timezone.utc).astimezone():%Y-%m-%d %H:%M:%S}"
    if seconds <= now:
        raise EnvironmentUnfitError(
            f"{name}={seconds:.0f} is in the past ({shown}): it was left by a batch job that has ended; unset it"
        )
    return f"the time limit by {name} is {shown}, in {seconds - now:.0f} s: the run stops with checkpoints before it"


def end_time(environ: Mapping[str, str] = os.environ) -> tuple[str, float] | None:
    """Returns the variable that gives the time limit of the batch job, and the limit; None without one.

    Reads HPCMTL_END_TIME, else SLURM_JOB_END_TIME.

    Args:
        environ: environment of this process.

    Raises:
        EnvironmentUnfitError: a variable is no whole number of seconds.
    """
    for name in ("HPCMTL_END_TIME", "SLURM_JOB_END_TIME"):  # Slurm 22.05 does not set its own yet
        text = environ.get(name, "")
        if text and not (_is_number(text) and len(text) <= _DIGITS_OF_TIME):
            raise EnvironmentUnfitError(f"{name}={text!r} is no time in whole seconds since 1970; unset it")
        if text:
            return name, float(text)
    return None


def columns(environ: Mapping[str, str] = os.environ) -> int | None:
    """Returns the width of the terminal in characters: HPCMTL_COLUMNS, or None to find it out.

    Raises:
        EnvironmentUnfitError: the variable is no number.
    """
    text = environ.get("HPCMTL_COLUMNS", "") or "0"
    if not _is_number(text):
        raise EnvironmentUnfitError(f"HPCMTL_COLUMNS={text!r} is no number of characters; write 80, or leave it out")
    return int(text) or None


def node_id(environ: Mapping[str, str] = os.environ) -> str:
    """Returns the name of this process's node: HPCMTL_NODE_ID, else Slurm's name of it, else the host name.

    Several nodes that are simulated on one host share the host name; only the first two names differ.
    """
    return environ.get("HPCMTL_NODE_ID") or environ.get("SLURMD_NODENAME") or socket.gethostname()


@dataclass(frozen=True)
class BatchJob:
    """The Slurm job that this process belongs to.

    Attributes:
        name: name that means this job alone in Slurm's commands. For a point of an array it has the form ``16_3``: the
            plain id of the last point means the whole array.
        index: index of a point of an array; None for other jobs.
        ends: end of the time limit in seconds since 1970; None where Slurm does not give it (before 23.02).
    """

    name: str
    index: int | None
    ends: float | None


def batch_job(environ: Mapping[str, str] = os.environ) -> BatchJob | None:
    """Returns the Slurm job that this process belongs to, or None."""
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


def ranks_per_node(hosts: Sequence[str]) -> int:
    """Returns the number of ranks of a node; 0 for one node, or if the ranks of hosts are not in equal blocks.

    Args:
        hosts: host of each rank, in order.
    """
    blocks = [len(list(block)) for _, block in itertools.groupby(hosts)]
    in_blocks = len(blocks) == len(set(hosts)) > 1 and set(blocks[:-1]) == {blocks[0]} and blocks[-1] <= blocks[0]
    return blocks[0] if in_blocks else 0
