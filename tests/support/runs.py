"""Real runs of `hpcmtl`, observed while they run: their files, processes and results."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import psutil
import pytest
from jobs import family, write_job
from patience import PATIENCE

from hpcmtl.results import ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

CHECKOUT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "hpcmtl"]
ABORTING = [sys.executable, "-m", "mpi4py", "-m", "hpcmtl"]
_TAG = "HPCMTL_TEST_RUN"  # launchers pass HPCMTL_* to the ranks


def by_mpirun(ranks: int, program: Sequence[str] = ABORTING) -> list[str]:
    """Returns the command that starts ranks without a parent `hpcmtl run`."""
    return [str(CHECKOUT / "launchers" / "mpirun.sh"), "-np", str(ranks), *program]


_MISSING = """
import os, sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise {error}

if os.environ.get("OMPI_COMM_WORLD_RANK") in {ranks!r}:
    sys.meta_path.insert(0, Missing())
"""


def without_module(folder: Path, name: str, error: ImportError, rank: int | None = None) -> dict[str, str]:
    """Returns an environment in which the import of a module raises an error, on one rank or everywhere."""
    start_up = folder / "start_up" / "sitecustomize.py"  # imported by Python before anything else
    start_up.parent.mkdir()
    ranks = [None, *map(str, range(8))] if rank is None else [str(rank)]
    start_up.write_text(_MISSING.format(name=name, error=repr(error), ranks=ranks), encoding="utf-8")
    return {"PYTHONPATH": str(start_up.parent)}


def run_python(folder: Path, *words: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs a separate Python in a folder, with the package of this checkout, to its end."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@dataclass
class Run:
    """Represents a command, running or ended, in a folder with a job file.

    Attributes:
        folder: folder of the job file and the runs.
        process: the started process.
        tag: value of the environment variable that marks every process of the run.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    tag: str
    started: float = field(default_factory=time.time)
    seconds: float = 0.0

    @property
    def directory(self) -> Path:
        """The only run directory."""
        (directory,) = (self.folder / "runs").iterdir()
        return directory

    @property
    def results(self) -> dict[str, Any]:
        """Content of `results.json`."""
        return json.loads((self.directory / "results.json").read_text(encoding="utf-8"))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Events in the ledger so far."""
        found = list(self.folder.glob("runs/*/events.jsonl"))
        return ledger.read(found[0]) if found else []

    @property
    def stdout(self) -> str:
        """Standard output so far."""
        return (self.folder / f"{self.tag}.stdout.txt").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return (self.folder / f"{self.tag}.stderr.txt").read_text(encoding="utf-8")

    @property
    def said(self) -> str:
        """All output, for the message of an assertion."""
        code = self.process.returncode
        return f"exit code {code} after {self.seconds:.1f} s\n{self.stdout}\n--- stderr\n{self.stderr}"

    @property
    def place(self) -> str:
        """Where the run is, for the message of a test that waited in vain: last events, ends of logs, processes."""
        events = [str(event) for event in self.events[-5:]]
        logs = [f"{log.name}: {log.read_text(encoding='utf-8')[-1000:]}" for log in self.folder.glob("runs/*/logs/*")]
        return "\n".join(("--- place", *events, *logs, *map(str, self.processes())))

    @property
    def returncode(self) -> int:
        """Exit code; the run must have ended."""
        assert self.process.returncode is not None
        return self.process.returncode

    def log(self, rank: int) -> str:
        """Returns the log file of one rank."""
        return (self.directory / "logs" / f"rank.{rank:03d}.log").read_text(encoding="utf-8")

    def arrays(self, task: str) -> dict[str, np.ndarray[Any, Any]]:
        """Returns the arrays of a task's artifact, by name."""
        found: dict[str, np.ndarray[Any, Any]] = {}
        with h5py.File(self.directory / "artifacts" / f"{task}.h5", locking=False) as file:
            file.visititems(
                lambda name, each: found.update({name: each[()]}) if isinstance(each, h5py.Dataset) else None
            )
        return found

    def until(self, condition: Callable[[Run], Any], timeout: float = 60) -> Run:
        """Waits until a condition holds; the test fails if the run ends first, or after the timeout x `PATIENCE`."""
        end = time.monotonic() + timeout * PATIENCE
        while not condition(self):
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"waited in vain for {condition}: {self.said}\n{self.place}")
            time.sleep(0.05)
        return self

    def until_files(self, pattern: str, count: int) -> Run:
        """Waits until the user's code has written `count` files beside the job file."""
        return self.until(lambda _: len(list(self.folder.glob(pattern))) == count)

    def until_loaded(self, library: str) -> Run:
        """Waits until a rank has loaded a shared library."""

        def loaded(run: Run) -> bool:
            with contextlib.suppress(psutil.Error, OSError):
                return any(library in mapped.path for rank in run.processes() for mapped in rank.memory_maps())
            return False

        return self.until(loaded)

    def until_event(self, event: str, **fields: Any) -> Run:
        """Waits for an event in the ledger with these fields."""
        wanted = {"event": event, **fields}
        return self.until(lambda _: any(wanted.items() <= found.items() for found in self.events))

    def finish(self, timeout: float = 90) -> Run:
        """Waits for the end; the test fails after the timeout x `PATIENCE`."""
        try:
            self.process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the run is still there after {timeout * PATIENCE} s: {self.said}\n{self.place}")
        self.seconds = time.time() - self.started
        return self

    def processes(self) -> list[psutil.Process]:
        """Returns all live processes of the run."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_TAG) == self.tag and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def rank(self, number: int) -> psutil.Process:
        """Returns the process of one rank."""
        return next(p for p in self.processes() if p.environ().get("OMPI_COMM_WORLD_RANK") == str(number))

    def leftovers(self, timeout: float = 5) -> list[psutil.Process]:
        """Returns the processes that are still alive some time after the end."""
        psutil.wait_procs(self.processes(), timeout)
        return self.processes()

    def end(self) -> None:
        """Kills all remaining processes."""
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        self.process.wait(5)


@dataclass
class Starter:
    """Starts runs, each in its own folder, and kills their remaining processes after the test."""

    folder: Path
    data: Path
    runs: list[Run] = field(default_factory=list)

    def __call__(
        self,
        job: Mapping[str, Any],
        command: Sequence[str] = PROGRAM,
        words: Sequence[str] = ("run", "job.yaml", "--runs", "runs"),
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> Run:
        """Starts a command on a job file, with the data and the user's code beside it."""
        folder = self.folder / f"run{len(self.runs)}"
        folder.mkdir(parents=True)
        write_job(folder, dict(job), self.data)
        return self.again(folder, command, words, env, stdin)

    def again(
        self,
        folder: Path,
        command: Sequence[str],
        words: Sequence[str],
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> Run:
        """Starts a command where a run has been."""
        tag = uuid.uuid4().hex
        path = os.pathsep.join(filter(None, [(env or {}).get("PYTHONPATH"), str(CHECKOUT)]))
        environ = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {}), "PYTHONPATH": path, _TAG: tag}
        with (folder / f"{tag}.stdout.txt").open("w") as stdout, (folder / f"{tag}.stderr.txt").open("w") as stderr:
            process = subprocess.Popen(
                # A shell that starts the tests in the background lets them inherit that Ctrl-C is ignored.
                ["env", "--default-signal=INT,HUP", *command, *words],
                cwd=folder,
                env=environ,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.runs.append(Run(folder, process, tag))
        return self.runs[-1]

    def end(self) -> None:
        """Ends what still runs."""
        for run in self.runs:
            run.end()


@pytest.fixture
def start(tmp_path: Path, digits_file: Path) -> Iterator[Starter]:
    """Starts runs of `hpcmtl` on the small images."""
    starter = Starter(tmp_path, digits_file)
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def start_once(tmp_path_factory: pytest.TempPathFactory, digits_file: Path) -> Iterator[Starter]:
    """As `start`, for runs that several tests of a module look at."""
    starter = Starter(tmp_path_factory.mktemp("runs"), digits_file)
    yield starter
    starter.end()


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,797 small digits, as the project's own builder makes them."""
    file = tmp_path_factory.mktemp("data") / "digits.h5"
    subprocess.run(
        [sys.executable, str(CHECKOUT / "datasets" / "digits.py"), "--out", str(file)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=True,
        capture_output=True,
    )
    return file


@pytest.fixture
def family_file(tmp_path: Path, digits_file: Path) -> Path:
    """The job file of the family of tasks, with its data beside it."""
    return write_job(tmp_path, family(), digits_file)
