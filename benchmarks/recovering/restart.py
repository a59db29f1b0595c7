"""Time from the death of a rank to the first step of the next attempt, and its parts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.results.ledger import read
from hpcmtl.results.rundir.directory import RunDirectory
from recovering.runs import PROGRAM, ROOT, Attempt, BenchmarkRun, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTER = ROOT / "tests" / "slurm" / "cluster.sh"
NOT_HERE = 77  # exit code of cluster.sh without Slurm
SECONDS = 120  # time limit of an attempt, including its queue time


def job_and_faults(data: Path, count: int) -> tuple[dict[str, Any], str]:
    """Returns a job and faults: it is killed in a new layer, and again at the first step after the restart.

    The first kill of each pair happens after progress; the marker of the second kill gives the time of the first step.
    """
    job = Shape(data, layers=count + 1, epochs=2).job()
    job["tasks"] = {"digit": {**job["tasks"]["digit"], "ranks": 4}}
    pairs = [
        f"kill:task=digit,layer={number},step=1,attempt={2 * number - 1};kill:step=1,attempt={2 * number}"
        for number in range(1, count + 1)
    ]
    return job, ";".join(pairs)


def by_resume(folder: Path, data: Path, count: int) -> list[dict[str, float]]:
    """Kills and resumes on 4 ranks of this host; returns the times of each kill."""
    job, faults = job_and_faults(data, count)
    run, ends = BenchmarkRun.begin(folder / "restart", job), {}
    for number in range(1, 2 * count + 1):
        attempt = Attempt.start(run, 4, {"HPCMTL_FAULT": faults})
        if attempt.finish() == 0:
            raise SystemExit(f"attempt {number} was not killed: {attempt.output_end}")
        ends[number] = time.time()
    return [{"ended": ends[2 * n - 1], **each} for n, each in enumerate(_times(run.directory, count), 1)]


def by_requeue(folder: Path, data: Path, count: int) -> list[dict[str, float]] | None:
    """Kills and lets Slurm requeue, on two of its nodes on this host; returns None without Slurm."""
    job, faults = job_and_faults(data, count)
    with tempfile.TemporaryDirectory(prefix="hpcmtl-slurm-") as cluster:
        started = subprocess.run([CLUSTER, "start", cluster], check=False, capture_output=True, text=True, timeout=600)
        if started.returncode == NOT_HERE:
            return None
        try:
            started.check_returncode()
            env = {**os.environ, "SLURM_CONF": f"{cluster}/slurm.conf", "PYTHONPATH": str(ROOT)}
            env |= {"OMP_NUM_THREADS": "1", "HPCMTL_FT": "0", "HPCMTL_FAULT": faults}
            env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
            (source := BenchmarkRun.begin(folder / "job", job)).directory.job_file.rename(folder / "slurm.yaml")
            source.directory.path.rmdir()
            words = ["submit", "slurm.yaml", "--nodes=2", "--ntasks-per-node=2", "--time=10", f"--requeues={2 * count}"]
            subprocess.run([*PROGRAM, *words], cwd=folder, env=env, check=True, capture_output=True, timeout=120)
            run = RunDirectory(next((folder / "runs").iterdir()))
            _until(lambda: len(_markers(run)) == 2 * count, 2 * count * SECONDS, run)
        finally:
            subprocess.run([CLUSTER, "stop", cluster], check=False, capture_output=True, timeout=120)
    return _times(run, count)


def _times(run: RunDirectory, count: int) -> list[dict[str, float]]:
    """Returns the times of the kill, of the first layer and of the first step, in seconds since 1970."""
    markers, started, number = _markers(run), {}, 0
    for event in read(run.ledger_file):
        if event["event"] == "job_started":
            number = event["attempt"]
        elif event["event"] == "layer_started":
            started.setdefault(number, datetime.fromisoformat(event["time"]).timestamp())
    return [
        {"killed": markers[2 * n - 1], "layer": started[2 * n], "step": markers[2 * n]} for n in range(1, count + 1)
    ]


def _markers(run: RunDirectory) -> dict[int, float]:
    """Returns attempt -> time of its kill."""
    folder = run.path / "faults"
    found = {path: re.search(r"attempt=(\d+)", path.name) for path in (folder.iterdir() if folder.exists() else ())}
    return {int(match[1]): path.stat().st_mtime for path, match in found.items() if match}


def _until(condition: Callable[[], bool], seconds: float, run: RunDirectory) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            output = "".join(path.read_text() for path in sorted(run.logs.glob("slurm-*")))
            raise SystemExit(f"Slurm did not bring the run back in {seconds} s: {output[-2000:]}")
        time.sleep(0.5)  # polls files of another process
