"""Slurm's commands that submit and requeue: the only place that runs them, each with a time-out."""

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

SECONDS = 60.0  # that a command may take: a busy controller answers late


@dataclass(frozen=True)
class SlurmReply:
    """What a command said.

    Attributes:
        code: its exit code; None if it could not be run, or took too long.
        out: its standard output.
        said: what it said otherwise, in one line, or why it could not be run.
    """

    code: int | None
    out: str
    said: str

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked for."""
        return self.code == 0


def installed() -> bool:
    """Whether jobs can be submitted from here."""
    return shutil.which("sbatch") is not None


def test_only(script: str) -> SlurmReply:
    """Have Slurm check a script without submitting it; it says when it would start."""
    return _ask(["sbatch", "--test-only"], stdin=script)


def submit(script: Path, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> str:
    """Submit a script.

    Args:
        script: its file.
        options: of sbatch.
        arguments: of the script.

    Returns:
        The job id; with ``;cluster`` where there are several.

    Raises:
        EnvironmentUnfitError: sbatch refused it; the message has its words.
    """
    answer = _ask(["sbatch", "--parsable", *options, str(script), *arguments])
    lines = answer.out.strip().splitlines()
    if not answer.ok or not lines or not re.fullmatch(r"\d+(_\d+)?(;\S+)?", lines[-1].strip()):
        raise EnvironmentUnfitError(f"sbatch did not take {script}: {answer.said or answer.out.strip()}")
    return lines[-1].strip()


def requeue(job: str) -> SlurmReply:
    """Have a job run again, from within: Slurm then ends it at once."""
    return _ask(["scontrol", "requeue", job])


def max_array_size() -> int | None:
    """How many points an array may have at this cluster; None if Slurm does not say."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask(["scontrol", "show", "config"]).out, re.MULTILINE)
    return int(found[1]) if found else None


def _ask(words: Sequence[str], stdin: str = "") -> SlurmReply:
    program = shutil.which(words[0])
    if program is None:
        return SlurmReply(None, "", f"there is no {words[0]} on this machine")
    try:
        done = subprocess.run(  # noqa: S603 - Slurm's commands; the words are ours
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
    """Of a job that submits another, what is of that job alone stays here.

    Its count of restarts would make attempts of the new job look like old ones, and its sizes contradict the script.
    """
    if "SLURM_JOB_ID" not in environ:
        return dict(environ)
    return {
        name: value
        for name, value in environ.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SRUN_", "HPCMTL_ATTEMPT_ID"))
    }
