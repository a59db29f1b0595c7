"""`hpcmtl submit` on a real Slurm: from the job file to a run that is complete, a sweep, a stop, a time limit."""

import json
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from batch import BatchJob, submit, submitted
from jobs import family, family_task, write_job


def job_of(epochs, layers=None):
    """A small task on two ranks, which trains about a second for ten epochs."""
    task = family_task("digit", input="digits/images", epochs=epochs, ranks=2)
    return family(ranks=2, tasks={"digit": task | ({"layers": layers} if layers else {})})


def small_environment(folder):
    """Makes an environment that finds the libraries of this one and has none of its own; returns its Python."""
    venv.create(folder, symlinks=True)
    libraries = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (libraries / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    for file in Path(sys.prefix, "lib").iterdir():  # MPI, which mpi4py looks for below the prefix
        if not (folder / "lib" / file.name).exists():
            (folder / "lib" / file.name).symlink_to(file)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def jobs(slurm, digits_file, tmp_path_factory):
    """Jobs in the queue at the same time, by each launcher one that completes and one that is stopped."""
    nodes = ("--nodes=2", "--ntasks-per-node=1")
    python = small_environment(tmp_path_factory.mktemp("environment"))
    words = {
        "limit": ("--time=2", "--no-requeue"),
        "stop": ("--time=10", "--requeues=1", "--launcher=srun"),
        "run": ("--time=10", "--launcher=srun", "--site=site.yaml"),
        "stage": ("--time=10", "--launcher=srun", "--site=stage.yaml"),
        "sweep": ("--time=10", "--array", "--set=tasks.digit.epochs=1,2"),
    }
    found = {}
    for name, more in words.items():
        folder = tmp_path_factory.mktemp(name)
        write_job(folder, job_of(3000, layers=600) if name in {"limit", "stop"} else job_of(2), digits_file)
        (folder / "site.yaml").write_text(f"scratch: {folder}/scratch/$SLURM_JOB_ID\n")
        (folder / "stage.yaml").write_text(f"scratch: {folder}/scratch\nstage: scratch\npython: {python}\n")
        (found[name],) = submitted(slurm, folder, *nodes, *more)
    return found


@pytest.fixture(scope="module")
def points(slurm, jobs):
    """The two points of the sweep, when they are over: their run directories and records."""
    job = jobs["sweep"]
    for index in (0, 1):
        BatchJob(slurm, f"{job.number}_{index}", job.folder).finish()
    files = sorted(job.folder.glob("runs/*/*/results.json"))
    return [(file.parent, json.loads(file.read_text())) for file in files]


def test_a_stop_and_what_follows(slurm, jobs):
    """USR1 stops the job with checkpoints; it is requeued once, goes on, and ends with 75 when it is stopped again."""
    job = jobs["stop"]
    for attempt in (1, 2):
        job.until_events("job_started", attempt)
        job.until_events("layer_ended", [event["event"] for event in job.events].count("layer_ended") + 1)
        slurm.query("scancel", "--batch", "--signal=USR1", job.number)
    job.finish()
    attempts = [event["attempt_id"] for event in job.events if event["event"] == "job_started"]

    assert (job.state, job.facts["ExitCode"], job.facts["Restarts"]) == ("FAILED", "75:0", "1"), job.said
    assert job.record["status"] == "stopped"
    assert attempts == [f"{job.number}.0", f"{job.number}.1"]
    assert "stopped with checkpoints; requeued by hpcmtl (1 of 1): resumes at layer" in job.said
    assert "stopped with checkpoints; the 1 further attempt is used" in job.said


def test_from_a_job_file_to_a_complete_run(jobs):
    """The job trains on its nodes; record and Slurm's state say that it is complete, and whose attempt it was."""
    job = jobs["run"].finish()
    found = job.record

    assert (job.state, job.facts["ExitCode"]) == ("COMPLETED", "0:0"), job.said
    assert (found["status"], found["attempt_id"]) == ("complete", f"{job.number}.0")
    assert json.loads((job.run / "submission.json").read_text())["job"] == str(job.number)
    assert re.search(r"^hpcmtl: .*: complete$", job.said, re.MULTILINE)
    assert set(json.loads((job.run / "environment.json").read_text())["hosts"]) < {"n1", "n2", "n3", "n4"}
    assert list((job.folder / "scratch" / job.number).iterdir()) == []  # made on both nodes, and removed


def test_ranks_import_from_their_node(jobs):
    """The environment of the ranks is copied to scratch, with hpcmtl itself; the ranks run there, and it is removed."""
    job = jobs["stage"].finish()
    environment = json.loads((job.run / "environment.json").read_text())
    staged = job.folder / "scratch" / f"hpcmtl.{job.number}.0" / "environment"

    assert job.record["status"] == "complete", job.said
    assert f"copied to {staged} on 2 nodes in " in job.said
    assert environment["executable"] == str(staged / "bin" / "python")
    assert list((job.folder / "scratch").iterdir()) == []


def test_a_sweep(points):
    """Each point of an array has a run directory of its own, and is complete with its own change."""
    assert [record["status"] for _, record in points] == ["complete"] * 2
    assert ["epochs: 1" in (run / "job.yaml").read_text() for run, _ in points] == [True, False]


def test_a_sweep_is_waited_for(slurm, jobs, points):
    """`wait` takes the ID of the array and ends with 0, as all its points are complete."""
    job = jobs["sweep"]
    words = [sys.executable, "-m", "hpcmtl", "wait", job.number, "--timeout=60"]
    done = subprocess.run(words, cwd=job.folder, env=slurm.environ(), capture_output=True, text=True, check=False)

    assert (done.returncode, "2 complete of 2 runs" in done.stdout) == (0, True), done


def test_a_job_of_a_user_s_own(slurm, digits_file, tmp_path):
    """After `scancel` a user's own `sbatch` is found by its script: `wait` does not end, and `cancel` takes it back."""
    write_job(tmp_path, job_of(2), digits_file)
    (first,) = submitted(slurm, tmp_path, "--extra=--hold")
    slurm.query("scancel", first.number)
    own = slurm.query(
        "sbatch",
        "--parsable",
        "--hold",
        "runs/../" + str(first.run.relative_to(tmp_path)) + "/job.sbatch",
        folder=tmp_path,
    )

    def hpcmtl(*words):
        words = [sys.executable, "-m", "hpcmtl", *words]
        return subprocess.run(words, cwd=tmp_path, env=slurm.environ(), capture_output=True, text=True, check=False)

    waited, status = hpcmtl("wait", first.run, "--timeout=1"), hpcmtl("status", first.run)
    cancelled = hpcmtl("cancel", first.run)

    assert waited.returncode == 124, waited
    assert f"waiting in the queue: job {own} is PENDING" in status.stdout
    assert (cancelled.returncode, BatchJob(slurm, own, tmp_path).state) == (0, "CANCELLED"), cancelled


def test_both_launchers_train_alike(jobs, points):
    """The same job on as many ranks has the same figures, whoever starts them."""
    records = (jobs["run"].finish().record, points[1][1])
    metrics = [record["tasks"]["digit"]["metrics"] for record in records]

    assert metrics[0] == metrics[1]
    assert metrics[0]


def test_more_points_than_an_array_may_have(slurm, jobs, digits_file, tmp_path):
    """A sweep beyond the cluster's MaxArraySize of 9 is submitted as two arrays."""
    write_job(tmp_path, job_of(2), digits_file)
    epochs = ",".join(map(str, range(1, 11)))
    found = submitted(slurm, tmp_path, "--array", f"--set=tasks.digit.epochs={epochs}", "--extra=--hold")
    sizes = [slurm.query("squeue", "--noheader", "--array", f"--job={job.number}").count("\n") + 1 for job in found]
    slurm.query("scancel", *(job.number for job in found))

    assert sizes == [9, 1]


def test_slurm_checks_a_script(slurm, jobs, digits_file, tmp_path):
    """`--test-only` has Slurm's word; what it refuses is said, and nothing is left on disk."""
    write_job(tmp_path, job_of(2), digits_file)
    good = submit(slurm, tmp_path, "--test-only", "--time=5")
    refused = submit(slurm, tmp_path, "--partition=nowhere")

    assert (good.returncode, refused.returncode) == (0, 3), good.stderr
    assert "to start at" in good.stderr
    assert "invalid partition specified: nowhere" in refused.stderr
    assert list(tmp_path.glob("runs/*")) == []


def test_a_time_limit(jobs):
    """Slurm's own USR1, a minute and more before the limit, stops a job with checkpoints; its code is 75."""
    job = jobs["limit"].finish(120)

    assert (job.state, job.facts["ExitCode"]) == ("FAILED", "75:0"), job.said
    assert job.record["status"] == "stopped"
    assert list(job.run.glob("checkpoints/digit/*.h5"))
    assert "stopped with checkpoints; no further attempt was asked for" in job.said
