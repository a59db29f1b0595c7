"""A rank that is killed in the middle of a step costs its own group the layer, and the run goes on without it."""

import datetime as dt

import h5py
import numpy as np
import pytest
from jobs import family, family_task, long_job
from runs import by_mpirun

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TEN_SECONDS = 10


def job_of(ranks, beside, dies, call):
    """A task of four layers on so many ranks, and one beside it; the rank `dies` is killed at an allreduce."""
    model = {"name": "user_code:dies", "outputs": 10, "rank": dies, "call": call}
    digit = family_task("digit", input="digits/images", model=model, epochs=4, layers=4, ranks=ranks)
    tasks = {"digit": digit, "after": {"kind": "predict", "needs": {"digit": "parameters"}}}
    if beside:
        tasks["parity"] = family_task("parity", input="digits/images", epochs=24, layers=2, ranks=beside)
    return family(ranks=ranks + beside, tasks=tasks)


def parameters(run):
    """What the task published, by name."""
    with h5py.File(run.directory / "artifacts" / "digit.h5", locking=False) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def of_kind(run, event, **fields):
    """The events of a kind with these fields."""
    return [each for each in run.events if each["event"] == event and fields.items() <= each.items()]


def at(event):
    """When an event was, in seconds since 1970."""
    return dt.datetime.fromisoformat(event["time"]).timestamp()


def test_a_group_of_three_and_its_neighbour(start):
    """The group goes on with the rank that its neighbour had; weights are as if nothing had happened, bit by bit."""
    sound, run = (start(job_of(3, 1, dies, 25), by_mpirun(4)).finish(120) for dies in (-1, 2))
    layers = [event["layer"] for event in of_kind(run, "layer_started", task="digit")]
    expected, found = parameters(sound), parameters(run)
    lost, shrunk, restarted = (of_kind(run, kind) for kind in ("rank_lost", "world_shrunk", "layer_restarted"))

    assert sound.returncode == run.returncode == 0, run.said
    assert run.results["status"] == "complete"
    assert len(lost) == len(shrunk) == len(restarted) == 1, run.said
    survivors = [rank for rank in range(4) if rank != lost[0]["rank"]]
    assert (shrunk[0]["ranks"], shrunk[0]["survivors"]) == (3, survivors)
    assert at(restarted[0]) - (run.folder / "died").stat().st_mtime < TEN_SECONDS
    assert sorted(layers) == sorted([0, 1, 2, 3, restarted[0]["layer"]])
    assert [event["layer"] for event in of_kind(run, "layer_started", task="parity")] == [0, 1]  # it did not stop
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert f"rank {lost[0]['rank']} on" in run.stderr
    assert run.leftovers() == []


def test_too_few_are_left(start):
    """A task that needs more ranks than are left stops the run with checkpoints: it can be resumed."""
    run = start(job_of(2, 0, 1, 25), by_mpirun(2)).finish(120)

    assert run.returncode == 75, run.said
    assert run.results["status"] == "stopped"
    assert "needs 2 ranks but there are 1" in of_kind(run, "stopping")[0]["reason"]
    assert run.leftovers() == []


def test_rank_0(start):
    """Without rank 0 nobody knows where the run stands: the others end at once, not with 0, and say what to do."""
    run = start(long_job(3), by_mpirun(3)).until_event("layer_ended", task="digit")
    run.rank(0).kill()
    run.finish(TEN_SECONDS)

    assert run.returncode not in {0, 75}, run.said
    assert "rank 0, which led the run, was lost" in run.stderr
    assert not (run.directory / "results.json").exists()
    assert run.leftovers() == []
