"""Slurm's commands to submit and requeue; the only module that runs them, each with a timeout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECONDS = 60.0  # time limit of a command; a busy controller replies late


@dataclass(frozen=True)
class SlurmReply:
    """Holds the result of a command.

    Attributes:
        code: exit code; None if the command could not be run or timed out.
        out: standard output.
        message: standard error in one line, or the reason why the command could not be run.
    """

    code: int | None
    out: str
    message: str

    @property
    def ok(self) -> bool:
        """True if the command succeeded."""
        return self.code == 0


def installed() -> bool:
    """Returns True if jobs can be submitted on this machine."""
    return shutil.which("sbatch") is not None


def test_only(script: str) -> SlurmReply:
    """Lets Slurm check a script without submitting it; the message has the expected start."""
    return _run(["sbatch", "--test-only"], stdin=script)


def submit(script: Path, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> str:
    """Submits a script.

    Args:
        script: path of the script.
        options: options of sbatch.
        arguments: arguments of the script.

    Returns:
        The job ID, followed by ``;cluster`` if there are several clusters.

    Raises:
        EnvironmentUnfitError: sbatch refused the script; the message includes its output.
    """
    reply = _run(["sbatch", "--parsable", *options, str(script), *arguments])
    lines = reply.out.strip().splitlines()
    if not reply.ok or not lines or not re.fullmatch(r"\d+(_\d+)?(;\S+)?", lines[-1].strip()):
        raise EnvironmentUnfitError(f"sbatch did not take {script}: {reply.message or reply.out.strip()}")
    return lines[-1].strip()


def requeue(job: str) -> SlurmReply:
    """Requeues the job of this process; Slurm then ends this process at once."""
    return _run(["scontrol", "requeue", job])


def preempted(job: str) -> bool:
    """Returns True if Slurm has begun to stop this start of a job in favour of another one."""
    shown = dict(re.findall(r"\b(PreemptTime|StartTime)=(\S+)", _run(["scontrol", "-o", "show", "job", job]).out))
    at = str(shown.get("PreemptTime", ""))  # local time in ISO form, of an earlier start as well
    return at[:1].isdigit() and at >= str(shown.get("StartTime", ""))


def max_array_size() -> int | None:
    """Returns MaxArraySize of this cluster, or None if Slurm does not report it."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _run(["scontrol", "show", "config"]).out, re.MULTILINE)
    return int(found[1]) if found else None


def _run(words: Sequence[str], stdin: str = "") -> SlurmReply:
    program = shutil.which(words[0])
    if program is None:
        return SlurmReply(None, "", f"there is no {words[0]} on this machine")
    try:
        done = subprocess.run(  # noqa: S603 - Slurm's commands with our own arguments
            [program, *words[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"gave no answer within {SECONDS:g} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        return SlurmReply(None, "", f"{words[0]} {why}")
    return SlurmReply(done.returncode, done.stdout, " ".join(done.stderr.split()))


def _environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the environment of a command, without the variables of the job that submits another one.

    Its restart count would make attempts of the new job look like old ones, and its sizes contradict the script.
    """
    if "SLURM_JOB_ID" not in environ:
        return dict(environ)
    return {
        name: value
        for name, value in environ.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SRUN_", "HPCMTL_ATTEMPT_ID"))
    }
