"""A small job, its attempts as commands, and the content of its run directory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import psutil
import yaml

from hpcmtl.exchange.store import DamagedFileError, read_sealed
from hpcmtl.results.ledger import read
from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "hpcmtl"]
TRAINED = ("digit", "parity")
_TAG = "HPCMTL_BENCHMARK_RUN"  # launchers pass HPCMTL_* to the ranks
SECONDS = 120  # time limit of an attempt


def build_data(folder: Path) -> Path:
    """Builds the small digits."""
    file = folder / "digits.h5"
    words = [sys.executable, ROOT / "datasets/digits.py", "--out", file]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environ)
    return file


@dataclass(frozen=True)
class Shape:
    """Describes the size of the job: two equal trainings side by side, and one task that depends on both.

    Attributes:
        data: file of the small digits.
        layers: layers per training.
        epochs: epochs per layer, of 20 steps each.
        interval: seconds between checkpoints.
        framework: framework of both trainings.
    """

    data: Path
    layers: int = 6
    epochs: int = 10
    interval: float = 0.1
    framework: str = "gluon"

    @property
    def steps(self) -> int:
        """Steps per layer."""
        return 20 * self.epochs

    def job(self) -> dict[str, Any]:
        """Returns a job for four ranks; each task has two ranks on any world, so that weights are bit-equal."""
        common = {"kind": "train", "input": "digits/images", "loss": "softmax_ce", "metrics": ["accuracy"], "ranks": 2}
        common |= {"epochs": self.epochs * self.layers, "layers": self.layers, "batch_size": 64}
        tasks = {
            name: {**common, "target": f"digits/{name}", "model": {"name": "mlp", "widths": [32], "outputs": outputs}}
            for name, outputs in zip(TRAINED, (10, 2), strict=True)
        }
        last = {"kind": "predict", "ranks": 2, "needs": {"digit": "parameters", "parity": "order"}}
        return {
            "hpcmtl": 1,
            "job": "recovery",
            "ranks": 4,
            "seed": 3,
            "data": {"digits": str(self.data)},
            "defaults": {"framework": self.framework, "optimizer": {"name": "adam", "learning_rate": 0.003}},
            "checkpoints": {"interval": self.interval},
            "tasks": {**tasks, "last": last},
        }


@dataclass(frozen=True)
class BenchmarkRun:
    """Reads a run directory."""

    directory: RunDirectory

    @classmethod
    def begin(cls, folder: Path, job: Mapping[str, Any]) -> BenchmarkRun:
        """Creates a run that has not started: a folder with a job file."""
        folder.mkdir(parents=True)
        directory = RunDirectory(folder)
        directory.job_file.write_text(yaml.safe_dump(dict(job), sort_keys=False), encoding="utf-8")
        return cls(directory)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Events of the ledger."""
        return read(self.directory.ledger_file) if self.directory.ledger_file.exists() else []

    @property
    def complete(self) -> bool:
        """True if the completion record of the last attempt says so."""
        file = self.directory.results_file
        return file.exists() and json.loads(file.read_text(encoding="utf-8"))["status"] == "complete"

    def layers_done(self, task: str) -> int:
        """Returns the number of ended layers in the ledger."""
        ended = [e["layer"] for e in self.events if e["event"] == "layer_ended" and e["task"] == task]
        return max(ended, default=-1) + 1

    def newest(self, task: str) -> int:
        """Returns the steps of the newest readable checkpoint; 0 if there is none."""
        for path in sorted((self.directory.checkpoints / task).glob("step-*.h5"), reverse=True):
            with contextlib.suppress(DamagedFileError):
                return int(read_sealed(path)[1]["step"])
        return 0

    def published(self, task: str) -> Arrays:
        """Returns the arrays of a task's artifact."""
        found: Arrays = {}
        with h5py.File(self.directory.artifacts / f"{task}.h5", locking=False) as file:
            file.visititems(lambda name, each: found.update({name: each[()]} if isinstance(each, h5py.Dataset) else {}))
        return found

    def markers(self) -> dict[str, float]:
        """Returns the time of each fault, in seconds since 1970."""
        folder = self.directory.path / "faults"
        return {path.name: path.stat().st_mtime for path in folder.iterdir()} if folder.exists() else {}


@dataclass(frozen=True)
class Attempt:
    """Holds one `hpcmtl resume` of a run, running or ended.

    Attributes:
        process: the command.
        tag: value that marks the environment of all its processes.
        output: file with the output.
    """

    process: subprocess.Popen[bytes]
    tag: str
    output: Path

    @classmethod
    def start(
        cls, run: BenchmarkRun, ranks: int = 4, env: Mapping[str, str] | None = None, program: Sequence[str] = PROGRAM
    ) -> Attempt:
        """Starts or resumes a run."""
        words, tag = [*program, "resume", str(run.directory.path), "--ranks", str(ranks)], uuid.uuid4().hex
        own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HPCMTL_FT": "0", _TAG: tag}
        file = run.directory.path.with_suffix(f".{tag}.txt")
        with file.open("wb") as output:
            process = subprocess.Popen(
                words,
                env={**os.environ, **own, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, tag, file)

    @property
    def output_end(self) -> str:
        """End of the output."""
        return self.output.read_text(encoding="utf-8", errors="replace")[-2000:]

    def finish(self) -> int:
        """Waits for the end and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: the attempt hangs; all its processes are killed.
        """
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(self.processes())
            raise

    def processes(self) -> list[psutil.Process]:
        """Returns all live processes: ranks and their launchers."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_TAG) == self.tag and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill(self, processes: list[psutil.Process]) -> None:
        """Sends SIGKILL to all of them."""
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def leftovers(self, seconds: float = 10) -> list[psutil.Process]:
        """Returns the processes that are still alive after `seconds`."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            psutil.wait_procs(left, 0.2)
        return left


def rank_of(process: psutil.Process) -> str | None:
    """Returns the rank number of a process, or None."""
    with contextlib.suppress(psutil.Error):
        return process.environ().get("OMPI_COMM_WORLD_RANK")
    return None
