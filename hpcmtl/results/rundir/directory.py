"""The run directory, which holds everything that one job writes, and atomic writes of its files."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl import faults
from hpcmtl.errors import InputError, Problem, naming_no_space, naming_the_gone
from hpcmtl.results.strict_json import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class RunDirectory:
    """The paths in a run directory; rank 0 creates it with `create`, the other ranks only need the value."""

    path: Path

    @property
    def job_file(self) -> Path:
        """The resolved job, with all defaults written out."""
        return self.path / "job.yaml"

    @property
    def plan_file(self) -> Path:
        """The layer plan."""
        return self.path / "plan.json"

    @property
    def ledger_file(self) -> Path:
        """The ledger: the only authority on finished work."""
        return self.path / "events.jsonl"

    @property
    def claim_file(self) -> Path:
        """The file that an attempt locks from its checks to its end; see `pipeline.run.claim`."""
        return self.path / ".claim"

    @property
    def results_file(self) -> Path:
        """The completion record: the result of the job and of each task."""
        return self.path / "results.json"

    @property
    def status_file(self) -> Path:
        """The status of the running job, as rank 0 last wrote it."""
        return self.path / "status.json"

    @property
    def submission_file(self) -> Path:
        """The batch jobs of the run; see `results.rundir.submission`."""
        return self.path / "submission.json"

    @property
    def queue_file(self) -> Path:
        """The last reply of Slurm on these jobs and its time; see `launch.slurm.throttle`."""
        return self.path / "queue.json"

    @property
    def environment_file(self) -> Path:
        """Versions, hosts and commit."""
        return self.path / "environment.json"

    @property
    def data_file(self) -> Path:
        """Fingerprints of the data files that the run uses."""
        return self.path / "data.json"

    @property
    def code_file(self) -> Path:
        """Checksums of the users' modules that the run has imported."""
        return self.path / "code.json"

    @property
    def transforms(self) -> Path:
        """Numbers of the transforms of samples, by task; created when the first ones are computed."""
        return self.path / "transforms"

    @property
    def curves(self) -> Path:
        """The curves of the tasks, one file each; see `results.curves`."""
        return self.path / "curves"

    @property
    def tensorboard(self) -> Path:
        """Event files of TensorBoard, by task; only with ``track: [tensorboard]``."""
        return self.path / "tensorboard"

    @property
    def metrics_file(self) -> Path:
        """The newest values as OpenMetrics text; only with ``track: [openmetrics]``."""
        return self.path / "metrics.prom"

    @property
    def trace_file(self) -> Path:
        """The course of the run as a Chrome trace; only with ``track: [trace]``."""
        return self.path / "trace.json"

    @property
    def logs(self) -> Path:
        """The log files, one for each rank."""
        return self.path / "logs"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints, by task and layer."""
        return self.path / "checkpoints"

    @property
    def artifacts(self) -> Path:
        """Sealed artifacts, by task."""
        return self.path / "artifacts"

    @property
    def requests(self) -> Path:
        """Requests of users to the running job, and the answers; see `results.rundir.requests`."""
        return self.path / "requests"

    def curve_file(self, task: str) -> Path:
        """Returns the file of the curves of one task."""
        return self.curves / f"{task}.jsonl"

    def rank_log(self, rank: int) -> Path:
        """Returns the log file of one rank."""
        return self.logs / f"rank.{rank:03d}.log"


def create(root: Path, job: str, now: datetime | None = None) -> RunDirectory:
    """Creates a new run directory ``<root>/<job>-<YYYYmmdd-HHMMSS>``, with ``-2``, ``-3``, ... if that is taken.

    The name is taken by the mkdir itself, so two jobs that start in the same second never share a directory.

    Args:
        root: directory of all runs; created if it is missing.
        job: name of the job, no path.
        now: time in the name; the local time if None.

    Raises:
        InputError: the job's name is no file name, or nothing can be created in `root`.
    """
    if not job or job != os.path.basename(job) or job.startswith(".") or "\0" in job:  # noqa: PTH119, on a name
        raise InputError([Problem("job", f"{job!r} cannot name a directory; use letters, digits, '-' and '_'")])
    started = now or datetime.now(timezone.utc).astimezone()
    name = f"{job}-{started:%Y%m%d-%H%M%S}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        run = RunDirectory(_take(root.resolve(), name))
        _make_subdirectories_of_new(run)
    except OSError as error:
        message = f"no run directory can be created here ({error.strerror}); name one that you can write to"
        raise InputError([Problem(str(root), message)]) from error
    return run


def create_sweep(
    root: Path, job: str, points: Sequence[str], now: datetime | None = None
) -> tuple[Path, list[RunDirectory]]:
    """Creates ``<root>/<job>-sweep-<YYYYmmdd-HHMMSS>`` with a run directory for each point, or nothing at all.

    Args:
        root: directory of all runs; created if it is missing.
        job: name of the job, no path.
        points: names of the run directories, one for each point.
        now: time in the name; the local time if None.

    Raises:
        InputError: nothing can be created in `root`.
    """
    started = now or datetime.now(timezone.utc).astimezone()
    sweep = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        sweep = _take(root.resolve(), f"{job}-sweep-{started:%Y%m%d-%H%M%S}")
        (sweep / "logs").mkdir()
        runs = [RunDirectory(sweep / point) for point in points]
        for run in runs:
            run.path.mkdir()
            _make_subdirectories_of_new(run)
    except OSError as error:
        if sweep is not None:
            shutil.rmtree(sweep, ignore_errors=True)
        message = f"no directory of a sweep can be created here ({error.strerror}); name one that you can write to"
        raise InputError([Problem(str(root), message)]) from error
    return sweep, runs


def set_aside(run: RunDirectory) -> None:
    """Renames the completion record of an earlier attempt: a run without one has not ended."""
    if not run.results_file.exists():
        return
    count = 1
    while (aside := run.path / f"results.{count}.json").exists():
        count += 1
    run.results_file.rename(aside)
    fsync_directory(run.path)


def write_json_atomically(path: Path, value: Any) -> None:
    """Writes a value as JSON so that a reader, or the next attempt after a crash, finds the old file or the new one.

    Args:
        path: the file; a temporary one beside it is written first, forced to disk and renamed.
        value: see `hpcmtl.results.strict_json.to_json`.
    """
    write_text_atomically(path, to_json(value, indent=2) + "\n")


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a text file whole or not at all, as `write_json_atomically` does.

    Raises:
        DirectoryGoneError: its directory was renamed or removed.
    """
    with naming_the_gone(path.parent), naming_no_space(path):
        _write_atomically(path, text)


def _write_atomically(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)  # of an earlier process with this number, or a link made by another user
    try:
        with aside.open("xb", buffering=0) as file:
            faults.file_point(path, "begun")
            left = memoryview(text.encode())
            while left:  # a disk that is nearly full may accept only a part
                left = left[file.write(faults.partial_write(path, left)) :]
                faults.file_point(path, "half")
            faults.file_point(path, "closed")
            os.fsync(file.fileno())
        faults.file_point(path, "before-rename")
        aside.replace(path)
        faults.file_point(path, "after-rename")
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)
    faults.file_point(path, "done")


def fsync_directory(path: Path) -> None:
    """Forces the names in a directory to disk: a new or renamed file survives a crash only after this."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(root: Path, name: str) -> Path:
    count = 1
    while True:
        path = root / (name if count == 1 else f"{name}-{count}")
        try:
            path.mkdir()
        except FileExistsError:
            count += 1
        else:
            return path


def make_subdirectories(run: RunDirectory) -> None:
    """Creates the missing folders of a run directory."""
    for directory in (run.logs, run.checkpoints, run.artifacts, run.requests):
        directory.mkdir(exist_ok=True)
    with contextlib.suppress(PermissionError):  # of another user's; the owner of each request is looked at as well
        run.requests.chmod(stat.S_IRWXU)  # requests may name code that runs as the owner of the job


def _make_subdirectories_of_new(run: RunDirectory) -> None:
    try:
        make_subdirectories(run)
    except OSError:
        shutil.rmtree(run.path, ignore_errors=True)  # a full quota leaves no half-made run behind
        raise
