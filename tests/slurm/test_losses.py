"""Effects of Slurm or a node on a job: the attempt counts for its kind, and the next one completes the run."""

import contextlib

import psutil
import pytest
from batch import submitted
from jobs import family, family_task, write_job


def kill(job, name, **wanted):
    """Kill all processes of a job that have this name, and these variables in their environment."""
    # Another cluster has a job 1 as well.
    wanted = {"SLURM_CONF": job.slurm.environ()["SLURM_CONF"], "SLURM_JOB_ID": job.number, **wanted}
    killed = False
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if process.info["name"].startswith(name) and wanted.items() <= process.environ().items():
                process.kill()
                killed = True
    assert killed, f"no {name} with {wanted}"


def kill_daemon(job, node):
    """FenceCommand the daemon of Open MPI on one node of a job, as the loss of the node does.

    Where ranks may outlive others it is two processes, one in the other.
    """
    kill(job, "prted", SLURMD_NODENAME=node)


def kill_rank(job, rank):
    """Kill a rank of a job."""
    kill(job, "python", PMIX_RANK=str(rank))


@pytest.fixture(scope="module")
def jobs(slurm, digits_file, tmp_path_factory):
    """Two jobs that train for some seconds, on two nodes each: one has lost a node, the other was preempted."""
    found = {}
    for name, nodes in (("lost", "n[1-2]"), ("preempted", "n[3-4]")):
        folder = tmp_path_factory.mktemp(name)
        task = family_task("digit", input="digits/images", epochs=90, layers=15, ranks=2)
        write_job(folder, family(ranks=2, tasks={"digit": task}), digits_file)
        words = ("--nodes=2", "--ntasks-per-node=1", "--time=10", f"--extra=--nodelist={nodes}")
        (found[name],) = submitted(slurm, folder, *words)
    kill_daemon(found["lost"].until_events("layer_ended"), "n2")
    found["preempted"].until_events("layer_ended")
    words = ("--partition=high", "--exclusive", "--nodelist=n[3-4]", "--nodes=2")
    found["high"] = slurm.submit(tmp_path_factory.mktemp("high"), "true", *words)
    return found


def assert_completed_by_the_second_attempt(job):
    """The run is complete, nothing was done twice, and Slurm's state says so."""
    job.finish()
    layers = [event["layer"] for event in job.events if event["event"] == "layer_ended"]

    assert (job.state, job.facts["ExitCode"], job.facts["Restarts"]) == ("COMPLETED", "0:0", "1"), job.said
    assert (job.record["status"], job.record["attempt_id"]) == ("complete", f"{job.number}.1")
    assert sorted(layers) == list(range(15))


def test_a_lost_node(jobs):
    """When it loses a node mpirun may end with 0: the attempt is no success for that, and another follows."""
    assert_completed_by_the_second_attempt(jobs["lost"])
    # The ranks are either ended at once, or get a TERM first and have the time to stop with checkpoints.
    ends = ("lost: it left no completion record (exit code 0)", "stopped with checkpoints")
    assert any(f"{end}; requeued by hpcmtl (1 of 5)" in jobs["lost"].said for end in ends), jobs["lost"].said


def test_preemption(jobs):
    """A job of a higher partition gets the nodes soon; the one that had them stops with checkpoints, and goes on."""
    assert jobs["high"].finish(30).state == "COMPLETED"
    assert_completed_by_the_second_attempt(jobs["preempted"])
    assert "stopped with checkpoints; requeued by hpcmtl (after preemption, not counted)" in jobs["preempted"].said


@pytest.mark.parametrize(("rank", "attempt"), [(2, 1), (0, 2)])
def test_a_lost_rank(slurm, digits_file, tmp_path, rank, attempt):
    """A rank of another node that dies, or the one that leads, costs its group a layer, and no requeue."""
    digit = family_task("digit", input="digits/images", epochs=90, layers=15, ranks=3)
    write_job(tmp_path, family(ranks=4, tasks={"digit": digit}), digits_file)
    (job,) = submitted(slurm, tmp_path, "--nodes=2", "--ntasks-per-node=2", "--time=10")
    kill_rank(job.until_events("layer_ended"), rank)
    job.finish()
    lost = [event["rank"] for event in job.events if event["event"] == "rank_lost"]
    layers = [event["layer"] for event in job.events if event["event"] == "layer_ended"]

    assert (job.state, job.facts["ExitCode"], job.facts["Restarts"]) == ("COMPLETED", "0:0", "0"), job.said
    assert (job.record["status"], job.record["attempt"]) == ("complete", attempt)
    assert lost == [rank]
    assert layers == list(range(15))
