"""`hpcmtl submit` on a real Slurm: from the job file to a run that is complete, a sweep, a stop, a time limit."""

import json
import re
import subprocess
import sys

import pytest
from batch import BatchJob
from jobs import family, family_task, long_job, write_job


def submit(slurm, folder, *words, env=None):
    """Run `hpcmtl submit job.yaml` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "hpcmtl", "submit", "job.yaml", *words],
        cwd=folder,
        env=slurm.environ(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def submitted(slurm, folder, *words):
    """Submit; return the jobs."""
    done = submit(slurm, folder, "--parsable", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return [BatchJob(slurm, number, folder) for number in done.stdout.split()]


def results(run):
    """The completion record."""
    return json.loads((run / "results.json").read_text())


def said(run):
    """All that the batch script and its ranks have written."""
    return "\n".join(file.read_text() for file in sorted(run.glob("logs/slurm-*")))


def small_job(**changes):
    """Two epochs of a small task on two ranks."""
    return family(ranks=2, tasks={"digit": family_task("digit", input="digits/images", epochs=2, ranks=2)}, **changes)


@pytest.fixture(scope="module")
def jobs(slurm, digits_file, tmp_path_factory):
    """What is in the queue at the same time, by each launcher a job that completes and one that is stopped."""
    nodes = ("--nodes=2", "--ntasks-per-node=1")
    words = {
        "limit": ("--time=2", "--no-requeue"),
        "stop": ("--time=10", "--requeues=1", "--launcher=srun"),
        "run": ("--time=10", "--launcher=srun"),
        "sweep": ("--time=10", "--array", "--set=tasks.digit.epochs=1,2"),
    }
    found = {}
    for name, more in words.items():
        folder = tmp_path_factory.mktemp(name)
        write_job(folder, long_job() if name in {"limit", "stop"} else small_job(), digits_file)
        (found[name],) = submitted(slurm, folder, *nodes, *more)
    return found


@pytest.fixture(scope="module")
def points(slurm, jobs):
    """The run directories of the sweep, when both points are over."""
    job = jobs["sweep"]
    for index in (0, 1):
        BatchJob(slurm, f"{job.number}_{index}", job.folder).finish()
    return sorted(path for path in job.folder.glob("runs/*/*") if (path / "job.yaml").exists())


def test_a_stop_and_what_follows(slurm, jobs):
    """USR1 stops the job with checkpoints; it is requeued once, goes on, and ends with 75 when it is stopped again."""
    job = jobs["stop"]
    for attempt in (1, 2):
        job.until_events("job_started", attempt)
        job.until_events("layer_ended", [event["event"] for event in job.events].count("layer_ended") + 1)
        slurm.ask("scancel", "--batch", "--signal=USR1", job.number)
    job.finish()
    (run,) = (job.folder / "runs").iterdir()
    attempts = [event["attempt_id"] for event in job.events if event["event"] == "job_started"]

    assert (job.state, job.facts["ExitCode"], job.facts["Restarts"]) == ("FAILED", "75:0", "1"), said(run)
    assert results(run)["status"] == "stopped"
    assert attempts == [f"{job.number}.0", f"{job.number}.1"]
    assert "stopped with checkpoints; requeued by hpcmtl (1 of 1): resumes at layer" in said(run)
    assert "stopped with checkpoints; all 1 further attempts are used" in said(run)


def test_from_a_job_file_to_a_complete_run(jobs):
    """The job trains on its nodes; record and Slurm's state say that it is complete, and whose attempt it was."""
    job = jobs["run"].finish()
    (run,) = (job.folder / "runs").iterdir()
    found = results(run)

    assert (job.state, job.facts["ExitCode"]) == ("COMPLETED", "0:0"), said(run)
    assert (found["status"], found["attempt_id"]) == ("complete", f"{job.number}.0")
    assert json.loads((run / "submission.json").read_text())["job"] == str(job.number)
    assert re.search(r"^hpcmtl: .*: complete$", said(run), re.MULTILINE)
    assert set(json.loads((run / "environment.json").read_text())["hosts"]) < {"n1", "n2", "n3", "n4"}


def test_a_sweep(points):
    """Each point of an array has a run directory of its own, and is complete with its own change."""
    assert [results(point)["status"] for point in points] == ["complete"] * 2, [said(point) for point in points]
    assert ["epochs: 1" in (point / "job.yaml").read_text() for point in points] == [True, False]


def test_both_launchers_train_alike(jobs, points):
    """The same job on as many ranks has the same figures, whoever starts them."""
    (run,) = (jobs["run"].finish().folder / "runs").iterdir()
    metrics = [results(path)["tasks"]["digit"]["metrics"] for path in (run, points[1])]

    assert metrics[0] == metrics[1]
    assert metrics[0]


def test_more_points_than_an_array_may_have(slurm, jobs, digits_file, tmp_path):
    """A sweep beyond the cluster's MaxArraySize of 9 is submitted as two arrays."""
    write_job(tmp_path, small_job(), digits_file)
    epochs = ",".join(map(str, range(1, 11)))
    found = submitted(slurm, tmp_path, "--array", f"--set=tasks.digit.epochs={epochs}", "--extra=--hold")
    sizes = [slurm.ask("squeue", "--noheader", "--array", f"--job={job.number}").count("\n") + 1 for job in found]
    slurm.ask("scancel", *(job.number for job in found))

    assert sizes == [9, 1]


def test_slurm_checks_a_script(slurm, jobs, digits_file, tmp_path):
    """`--test-only` has Slurm's word; what it refuses is said, and nothing is left on disk."""
    write_job(tmp_path, small_job(), digits_file)
    good = submit(slurm, tmp_path, "--test-only", "--time=5")
    refused = submit(slurm, tmp_path, "--partition=nowhere")

    assert (good.returncode, refused.returncode) == (0, 3), good.stderr
    assert "to start at" in good.stderr
    assert "invalid partition specified: nowhere" in refused.stderr
    assert list(tmp_path.glob("runs/*")) == []


def test_a_time_limit(jobs):
    """Slurm's own USR1, a minute and more before the limit, stops a job with checkpoints; its code is 75."""
    job = jobs["limit"].finish(120)
    (run,) = (job.folder / "runs").iterdir()

    assert (job.state, job.facts["ExitCode"]) == ("FAILED", "75:0"), said(run)
    assert results(run)["status"] == "stopped"
    assert list(run.glob("checkpoints/digit/*.h5"))
    assert "stopped with checkpoints; no further attempt was asked for" in said(run)
