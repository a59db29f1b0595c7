"""A rank that is killed in the middle of a step costs its own group the layer, and the run goes on without it."""

import datetime as dt

import numpy as np
import pytest
from jobs import family, family_task
from runs import by_mpirun

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TEN_SECONDS = 10
IMPATIENT = {"HPCMTL_HEARTBEAT": "0.2", "HPCMTL_HUNG_SECONDS": "1"}


def job_of(ranks, beside):
    """A task of four layers on so many ranks, and one beside it."""
    digit = family_task("digit", input="digits/images", epochs=4, layers=4, ranks=ranks)
    tasks = {"digit": digit, "after": {"kind": "predict", "needs": {"digit": "parameters"}}}
    if beside:
        tasks["parity"] = family_task("parity", input="digits/images", epochs=40, layers=2, ranks=beside)
    return family(ranks=ranks + beside, tasks=tasks)


def of_kind(run, event, **fields):
    """The events of a kind with these fields."""
    return [each for each in run.events if each["event"] == event and fields.items() <= each.items()]


def at_fault(run):
    """When the fault happened, in seconds since 1970."""
    (marker,) = (run.directory / "faults").iterdir()
    return marker.stat().st_mtime


def at(event):
    """When an event was, in seconds since 1970."""
    return dt.datetime.fromisoformat(event["time"]).timestamp()


@pytest.fixture(scope="module")
def sound(start_once):
    """A run of three ranks and one beside them in which no rank fails."""
    run = start_once(job_of(3, 1), by_mpirun(4)).finish(120)
    assert run.returncode == 0, run.said
    return run


def test_a_group_of_three_and_its_neighbour(start, sound):
    """The group goes on with the rank that its neighbour had; weights are as if nothing had happened, bit by bit."""
    run = start(job_of(3, 1), by_mpirun(4), env={"HPCMTL_FAULT": "kill:rank=2,task=digit,layer=1,step=1"}).finish(120)
    layers = [event["layer"] for event in of_kind(run, "layer_started", task="digit")]
    expected, found = sound.arrays("digit"), run.arrays("digit")
    lost, shrunk, restarted = (of_kind(run, kind) for kind in ("rank_lost", "world_shrunk", "layer_restarted"))

    assert run.returncode == 0, run.said
    assert run.results["status"] == "complete"
    assert len(lost) == len(shrunk) == len(restarted) == 1, run.said
    assert (lost[0]["rank"], shrunk[0]["ranks"], shrunk[0]["members"]) == (2, 3, [0, 1, 3])
    assert at(restarted[0]) - at_fault(run) < TEN_SECONDS
    assert layers == [0, 1, 1, 2, 3]
    assert [event["layer"] for event in of_kind(run, "layer_started", task="parity")] == [0, 1]  # it did not stop
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert "rank 2 on" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.leftovers() == []


def test_too_few_are_left(start):
    """A task that needs more ranks than are left, one having been killed as hung, stops the run with checkpoints."""
    env = {"HPCMTL_FAULT": "stop:rank=1,task=digit,layer=1,step=1", **IMPATIENT}
    run = start(job_of(2, 0), by_mpirun(2), env=env).finish(120)

    assert run.returncode == 75, run.said
    assert run.results["status"] == "stopped"
    assert [of_kind(run, kind)[0]["rank"] for kind in ("rank_hung", "rank_lost")] == [1, 1]
    assert "needs 2 ranks but there are 1" in of_kind(run, "job_stopping")[0]["reason"]
    assert "Traceback" not in run.stderr
    assert run.leftovers() == []


def test_too_few_are_left_without_rank_0(start):
    """If they cannot lead it on the run stops as well, and says what it wants."""
    env = {"HPCMTL_FAULT": "kill:rank=0,layer=1,step=1"}
    run = start(job_of(2, 0), by_mpirun(2), env=env).finish(120)

    assert run.returncode == 75, run.said
    assert "rank 0 was lost, which led the run, and the run stops, since too few are left (1)" in run.stderr
    assert "tasks.digit.ranks" in run.stderr
    assert "`hpcmtl resume` on more of them goes on" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.leftovers() == []


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_rank_0(start, sound, fault):
    """Without rank 0, or if it hangs, the lowest that lives leads on from the ledger, with the same weights, truly."""
    env = {"HPCMTL_FAULT": f"{fault}:rank=0,layer=1,step=1", **IMPATIENT}
    run = start(job_of(3, 1), by_mpirun(4), env=env).finish(120)
    layers = [(each["task"], each["layer"]) for each in of_kind(run, "layer_ended")]
    expected, found = sound.arrays("digit"), run.arrays("digit")

    assert run.returncode == 0, run.said
    assert run.results["status"] == "complete"
    assert run.results["attempt"] == 2
    assert [each["ranks"] for each in of_kind(run, "job_started")] == [4, 3]
    assert len(layers) == len(set(layers))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert "rank 0 was lost" in run.stderr
    assert ("hangs: no heartbeat for" in run.stderr) == (fault == "stop")
    assert run.stdout.count("digit") == 1
    assert run.leftovers() == []


def job_that_meets(how):
    """Two tasks on a rank each, and a spare one: they merge after each layer, or one takes what the other publishes."""
    often = {"epochs": 16, "layers": 4, "ranks": 1}
    if how == "merge":
        one = family_task("digit", input="digits/images", **often)
        tasks = {"one": one, "two": {**one, "batch_size": 32}}
        return family(ranks=3, tasks=tasks, merge={"pair": {"tasks": ["one", "two"], "every": "layer"}})
    head = {"model": {"name": "mlp", "outputs": 10}, "target": "digits/digit", "loss": "softmax_ce"}
    two = {
        "kind": "joint",
        "needs": {"one": {"kind": "parameters", "mode": "async", "every": 5, "staleness": 1}},
        "input": "digits/images",
        "trunk": {"from": "one", "part": "encoder"},
        "heads": {"digit": head},
        "freeze": ["trunk.*"],
    }
    return family(ranks=3, tasks={"one": family_task("trunk", **often), "two": {**two, **often}})


@pytest.mark.parametrize(("how", "rank"), [("merge", 0), ("merge", 1), ("async", 0), ("async", 1)])
def test_tasks_that_meet(start, how, rank):
    """A death in one of two tasks that meet begins both again at their checkpoints, and each layer ends once."""
    env = {"HPCMTL_FAULT": f"kill:rank={rank},layer=1,step=30"}
    run = start(job_that_meets(how), by_mpirun(3), env=env).finish(120)
    layers = [(each["task"], each["layer"]) for each in of_kind(run, "layer_ended")]

    assert run.returncode == 0, run.said
    assert run.results["status"] == "complete"
    assert run.results["attempt"] == 2
    assert [each["rank"] for each in of_kind(run, "rank_lost")] == [rank]
    assert [each["ranks"] for each in of_kind(run, "job_started")] == [3, 2]
    assert sorted(layers) == [(task, layer) for task in ("one", "two") for layer in range(4)]
    assert "the run goes on from the ledger (ranks left: 2)" in run.stderr
    assert run.leftovers() == []
    if how == "merge":  # after the loss as well; members may be a round apart then, so that weights differ a little
        second = next(place for place, each in enumerate(run.events) if each.get("attempt") == 2)
        assert sum(each.get("facts", {}).get("merges", 0) for each in run.events[second:]) > 0


def test_one_hangs_when_another_is_lost(start):
    """A stopped rank, for whom those that live would wait for ever, is named, killed and lost as well."""
    digit = family_task("digit", input="digits/images", epochs=400, layers=4, ranks=1)
    env = {"HPCMTL_HUNG_SECONDS": "1"}
    run = start(family(ranks=4, tasks={"digit": digit}), by_mpirun(4), env=env).until_event("layer_started")
    run.rank(2).suspend()
    run.rank(3).kill()
    run.finish(60)

    assert run.returncode == 0, run.said
    assert run.results["status"] == "complete"
    assert sorted(each["rank"] for each in of_kind(run, "rank_lost")) == [2, 3]
    assert "is stopped while the others wait for it: it is killed" in run.stderr
    assert run.leftovers() == []
