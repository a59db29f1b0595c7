"""A group that makes no step any more costs its own task, and a stop that ranks do not hear has an end."""

import signal

import pytest
from jobs import family, family_task, long_job, python_job
from runs import by_mpirun

pytestmark = [pytest.mark.slow, pytest.mark.timeout(450)]
IMPATIENT = {"HPCMTL_STUCK_SECONDS": "3"}


def beside(ranks):
    """A task on two of `ranks` ranks that gets stuck, one beside it, and one that needs each."""
    tasks = {
        "digit": family_task("digit", input="digits/images", epochs=40, layers=2, ranks=2),
        "after": {"kind": "predict", "needs": {"digit": "parameters"}},
        "parity": family_task("parity", input="digits/images", epochs=2, ranks=1),
        "outputs": {"kind": "predict", "needs": {"parity": "parameters"}},
    }
    return family(ranks=ranks, tasks=tasks)


def statuses(run):
    """Status of each task in the completion record."""
    return {name: task["status"] for name, task in run.results["tasks"].items()}


def stuck(run):
    """Places that the ranks of the stuck layer have told, by rank."""
    return {event["rank"]: event["place"] for event in run.events if event["event"] == "rank_stuck"}


def test_a_rank_that_never_comes_out(start):
    """It ends itself; its group comes out of the collective, its task fails as stuck, and the family goes on."""
    fault = {"HPCMTL_FAULT": "slow:seconds=1000,task=digit,step=100,rank=1"}
    run = start(beside(4), by_mpirun(4), env={**IMPATIENT, **fault}).finish(90)
    message = run.results["tasks"]["digit"]["message"]

    assert run.returncode == 1, run.said
    assert statuses(run) == {"digit": "failed", "after": "skipped", "parity": "complete", "outputs": "complete"}
    assert message.startswith("stuck: no step for 3 s (rank ")
    assert "Allreduce" in message or "wait_to_read" in message or "synchronize" in message
    assert "in _happen" in stuck(run)[1]  # where the fault sleeps
    assert [event["rank"] for event in run.events if event["event"] == "rank_lost"] == [1]
    assert "makes no step" in run.log(1)
    assert "thread MainThread:" in run.log(1)
    assert "Traceback" not in run.stderr
    assert run.leftovers() == []


def test_a_failed_task_takes_no_ranks_from_others(start):
    """Where too few ranks are left for the stuck task, which has failed, the rest of the family goes on with them."""
    fault = {"HPCMTL_FAULT": "slow:seconds=1000,task=digit,step=100,rank=1"}
    run = start(beside(2), by_mpirun(2), env={**IMPATIENT, **fault}).finish(90)

    assert run.returncode == 1, run.said
    assert statuses(run) == {"digit": "failed", "after": "skipped", "parity": "complete", "outputs": "complete"}


def test_all_ranks_are_stuck(start):
    """The rank that coordinates ends last: the task has failed by the record, and the ledger has an end."""
    fault = {"HPCMTL_FAULT": "slow:seconds=1000,task=digit,step=100,rank=all"}
    run = start(long_job(), env={**IMPATIENT, **fault}).finish(90)

    assert run.returncode == 1, run.said
    assert statuses(run) == {"digit": "failed", "after": "skipped"}
    assert (run.events[-1]["event"], run.events[-1]["status"]) == ("job_ended", "failed")
    assert run.leftovers() == []


def test_without_fault_tolerance_the_run_ends(start):
    """Where ranks cannot be told to leave, the run ends; the ledger says which task is stuck, and where."""
    fault = {"HPCMTL_FAULT": "slow:seconds=1000,task=digit,step=100,rank=all,every", "HPCMTL_FT": "0"}
    run = start(long_job(), by_mpirun(2), env={**IMPATIENT, **fault}).finish(90)
    ended = {event["task"]: event["status"] for event in run.events if event["event"] == "task_ended"}

    assert run.returncode == 1, run.said
    assert ended == {"digit": "failed", "after": "skipped"}
    assert run.results["status"] == "failed"
    assert set(stuck(run)) == {0, 1}
    assert "cannot be told to leave a layer that was given up" in run.stderr
    assert run.leftovers() == []


@pytest.mark.parametrize("way", ["stubborn", "locked"])
def test_sigterm_ends_what_does_not_stop(start, way):
    """After SIGTERM and its grace the ranks are ended with 75, with record and last event, also in native code."""
    run = start(python_job(way), env={"HPCMTL_GRACE_SECONDS": "2"}).until_files(f"{way}.*", 2)
    run.process.send_signal(signal.SIGTERM)
    run.finish(60)

    assert run.returncode == 75, run.said
    assert run.results["status"] == "stopped"
    assert "within 2 s of SIGTERM" in run.results["message"]
    assert (run.events[-1]["event"], run.events[-1]["status"]) == ("job_ended", "stopped")
    assert run.leftovers() == []


def test_other_signals_leave_all_the_time(start):
    """SIGUSR1, as a batch system sends it minutes before the time limit, has no grace."""
    run = start(python_job("patient"), by_mpirun(2), env={"HPCMTL_GRACE_SECONDS": "0.01"}).until_files("patient.*", 2)
    run.process.send_signal(signal.SIGUSR1)
    run.finish()

    assert run.results["status"] == "complete", run.said
