"""A fault on one rank alone ends the whole run within 10 s, and says where it was."""

import time

import pytest
from jobs import family, family_task, python_job
from runs import by_mpirun

TEN_SECONDS = 10
pytestmark = pytest.mark.timeout(450)


def trains(model, engine="horovod", **arguments):
    """A job that trains a network of the user's on two ranks, for long."""
    model = {"name": f"user_code:{model}", "outputs": 10, **arguments}
    task = family_task("digit", input="digits/images", model=model, epochs=100, ranks=2, engine=engine)
    return family(ranks=2, tasks={"digit": task})


def assert_ended_by(run, rank, error):
    """The run ended soon after the raise, says who raised what and where, and left nothing behind."""
    run.finish()
    ended = time.time()
    raised = (run.folder / "raised").stat().st_mtime
    (failure,) = [event for event in run.events if event["event"] == "rank_failed"]

    assert run.returncode not in {0, 75}, run.said
    assert ended - raised < TEN_SECONDS, run.said
    assert f"rank {rank} failed in task {failure['task']}, layer 0" in run.log(rank)
    assert error in run.stderr
    assert failure["rank"] == rank
    assert failure["message"].startswith(error)
    assert f"rank {rank} failed alone" in run.log(0)
    assert error in run.log(rank)
    assert "Traceback (most recent call last)" in run.log(rank)
    assert not (run.directory / "results.json").exists()
    assert "MPI_ABORT" not in run.stderr  # of several ranks at once it makes mpirun wait for ever at times
    assert run.leftovers() == []


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "ranks", "wait"), [(1, 2, "allreduce"), (0, 3, "barrier"), (3, 4, "allreduce")])
def test_user_code(start, rank, ranks, wait):
    """A callable that raises on one rank, the first, the last or another, while the others wait in a collective."""
    run = start(python_job("lone", ranks, rank=rank, wait=wait), by_mpirun(ranks))

    assert_ended_by(run, rank, "ZeroDivisionError: on purpose, on one rank")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["horovod", "kvstore"])
def test_network(start, engine):
    """A network that raises on one rank in its first step while the others wait for its gradients."""
    run = start(trains("raises_in_forward", engine, rank=1), by_mpirun(2))

    assert_ended_by(run, 1, "ValueError: on purpose, in the network")


@pytest.mark.slow
def test_data(start):
    """A disk that fails on one rank in the middle of the training."""
    run = start({**trains("on_a_failing_disk", rank=1), "data_memory": "1KiB"})  # read during the steps
    run.finish()

    assert_ended_by(run, 1, "OSError: [Errno 5] Input/output error, on purpose")


@pytest.mark.slow
def test_engine(start):
    """An allreduce that raises on one rank while the others take part in it."""
    run = start(trains("with_a_failing_engine", rank=1))

    assert_ended_by(run, 1, "RuntimeError: on purpose, in the engine")


@pytest.mark.slow
@pytest.mark.parametrize("calls", [[3, 6], [7, 4]])
def test_ranks_that_fail_at_different_steps(start, calls):
    """Allreduces that some ranks began and others never will do not keep anybody waiting."""
    run = start(trains("with_ranks_out_of_step", calls=calls)).finish()

    assert run.returncode == 1, run.said
    assert time.time() - (run.folder / "raised").stat().st_mtime < TEN_SECONDS
    assert f"RuntimeError: on purpose, at call {min(calls)}" in run.stderr
    assert run.leftovers() == []
