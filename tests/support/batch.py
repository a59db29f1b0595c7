"""The tests' own Slurm, and batch jobs on it: their submission, state and output."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from patience import PATIENCE

from hpcmtl.results import ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CHECKOUT = Path(__file__).parents[2]
CLUSTER = CHECKOUT / "tests" / "slurm" / "cluster.sh"
# Short, because a socket's path has at most 107 characters. One per checkout, so that a killed session's cluster is
# found again.
DIRECTORY = Path(f"/tmp/hpcmtl-slurm-tests-{os.getuid()}-{zlib.crc32(os.fsencode(CHECKOUT)):08x}")  # noqa: S108
NO_RIGHT = 77  # exit code of cluster.sh: Slurm is missing and cannot be installed
_OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL"}


@dataclass(frozen=True)
class Slurm:
    """Represents a running cluster.

    Attributes:
        directory: directory with all its files.
    """

    directory: Path

    def environ(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Returns the environment of a command that uses the cluster and this checkout's hpcmtl."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        ours = {
            "SLURM_CONF": str(self.directory / "slurm.conf"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "OMP_NUM_THREADS": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",  # the nodes share the cores of this host, which launchers cannot know
        }
        return {**outside, **ours, **(env or {})}

    def query(self, *words: str | Path, folder: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Runs a command of Slurm that must succeed, and returns its output."""
        done = subprocess.run(
            words, cwd=folder, env=self.environ(env), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, folder: Path, script: str, *options: str, env: Mapping[str, str] | None = None) -> BatchJob:
        """Submits the lines of a batch script, which runs in the folder and writes `job.out` there."""
        (folder / "job.sh").write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        words = ("--parsable", "--open-mode=append", "--output=job.out", *options)
        return BatchJob(self, self.query("sbatch", *words, "job.sh", folder=folder, env=env), folder)

    def is_free(self) -> bool:
        """Returns True if all nodes are idle and there is no job."""
        states = self.query("sinfo", "--noheader", "--partition=main", "--format=%D %T")
        return states == "4 idle" and not self.query("squeue", "--noheader")

    def clear(self, timeout: float = 60) -> None:
        """Cancels all jobs and waits until all nodes are idle."""
        jobs = self.query("squeue", "--noheader", "--format=%A").split()
        if jobs:
            self.query("scancel", *set(jobs))
        end = time.monotonic() + timeout * PATIENCE
        while not self.is_free():
            assert time.monotonic() < end, f"the cluster is not idle: {self.query('sinfo')} {self.query('squeue')}"
            time.sleep(0.1)


@dataclass(frozen=True)
class BatchJob:
    """Represents a job in the queue, running, or ended less than five minutes ago, which Slurm still remembers.

    Attributes:
        slurm: the cluster.
        number: its ID; ``16_3`` for a point of an array.
        folder: folder of its output or its runs.
    """

    slurm: Slurm
    number: str
    folder: Path

    @property
    def facts(self) -> dict[str, str]:
        """Output of `scontrol show job`, by key."""
        shown = self.slurm.query("scontrol", "--oneliner", "show", "job", self.number)
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)

    @property
    def state(self) -> str:
        """Slurm's name of the state."""
        return self.facts["JobState"]

    @property
    def output(self) -> str:
        """Output of the script and its ranks so far."""
        file = self.folder / "job.out"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def until(self, condition: Callable[[BatchJob], object], timeout: float = 90) -> BatchJob:
        """Waits until a condition holds; the test fails if the job ends first, or after the timeout."""
        end = time.monotonic() + timeout * PATIENCE
        while not condition(self):
            state = self.state
            if (state in _OVER or time.monotonic() > end) and not condition(self):
                pytest.fail(f"waited in vain for {condition}, the job is {state}: {self.output}")
            time.sleep(0.1)
        return self

    def until_said(self, text: str, timeout: float = 90) -> BatchJob:
        """Waits until the output contains a text."""
        return self.until(lambda job: text in job.output, timeout)

    @property
    def run(self) -> Path:
        """The only run directory in its folder."""
        (run,) = (self.folder / "runs").iterdir()
        return run

    @property
    def record(self) -> dict[str, Any]:
        """The completion record of that run."""
        return json.loads((self.run / "results.json").read_text(encoding="utf-8"))

    @property
    def said(self) -> str:
        """All output of the script of `hpcmtl submit` and its ranks in that run."""
        return "\n".join(file.read_text(encoding="utf-8") for file in sorted(self.run.glob("logs/slurm-*")))

    def until_events(self, event: str, count: int = 1, timeout: float = 90) -> BatchJob:
        """Waits until the ledger of the only run in its folder has `count` events of a kind."""
        return self.until(lambda job: [found["event"] for found in job.events].count(event) >= count, timeout)

    @property
    def events(self) -> list[dict[str, object]]:
        """Events in that ledger so far."""
        return [event for file in self.folder.glob("runs/*/events.jsonl") for event in ledger.read(file)]

    def finish(self, timeout: float = 120) -> BatchJob:
        """Waits for the end; the test fails after the timeout."""
        return self.until(lambda job: job.state in _OVER, timeout)


def submit(slurm: Slurm, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs `hpcmtl submit job.yaml` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "hpcmtl", "submit", "job.yaml", *words],
        cwd=folder,
        env=slurm.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def submitted(slurm: Slurm, folder: Path, *words: str) -> list[BatchJob]:
    """Submits the job file in a folder by `hpcmtl submit`; returns the jobs."""
    done = submit(slurm, folder, "--parsable", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return [BatchJob(slurm, number, folder) for number in done.stdout.split()]


@contextlib.contextmanager
def started_once(directory: Path = DIRECTORY) -> Iterator[Slurm]:
    """Yields a cluster that all test processes share: the first starts it, the last stops it.

    A share is a lock, so that a dead process releases it at once.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    with (directory / "gate").open("w") as gate, (directory / "users").open("w") as users:
        with _locked(gate):
            if _alone(users):
                _call("stop", directory)
                _call("start", directory)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield Slurm(directory)
        finally:
            with _locked(gate):
                if _alone(users):
                    _call("stop", directory)


@contextlib.contextmanager
def used_alone(slurm: Slurm) -> Iterator[None]:
    """Excludes other test processes from the cluster; it is free at the start and at the end."""
    with (slurm.directory / "turn").open("w") as turn, _locked(turn):
        slurm.clear()
        try:
            yield
        finally:
            slurm.clear()


@contextlib.contextmanager
def _locked(file: object) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _alone(users: object) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _call(verb: str, directory: Path) -> None:
    done = subprocess.run(
        [CLUSTER, verb, directory], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=400
    )
    wanted = os.environ.get("HPCMTL_TESTS_SLURM", "")
    if done.returncode == NO_RIGHT and wanted != "required":
        pytest.skip(done.stderr.strip())
    if done.returncode != 0:
        pytest.fail(f"cluster.sh {verb} ended with {done.returncode}: {done.stderr}")
