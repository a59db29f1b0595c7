"""Whatever ends one attempt after the other: `hpcmtl resume` goes on, and the weights are those of a sound run.

All faults are asked for in all attempts: what has happened in a run directory does not happen again there.
`benchmarks/recovery.py` does the same many times, at random moments.
"""

import numpy as np
import pytest
from jobs import family, family_task
from runs import PROGRAM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUICKLY = {"HPCMTL_HEARTBEAT": "0.2", "HPCMTL_HUNG_SECONDS": "1", "HPCMTL_FT": "0"}

# What happens in each attempt, in turn.
LOSSES = [
    "kill:rank=all,task=digit,layer=0,step=3,attempt=1",
    "stop:rank=1,task=digit,layer=0,step=1,attempt=2",
    "flip:checkpoint,task=digit,nth=1,attempt=3;kill:rank=1,task=digit,layer=1,step=9,attempt=3",
    "full:results,attempt=4",
]


def job():
    """One training on two ranks, and what is predicted with it."""
    trained = {"input": "digits/images", "ranks": 2, "epochs": 2, "layers": 2}
    last = {"kind": "predict", "ranks": 2, "needs": {"digit": "parameters"}}
    return family(ranks=2, tasks={"digit": family_task("digit", **trained), "last": last})


def test_one_loss_after_the_other(start):
    """Dead and hung ranks, damage and a full disk: no attempt calls itself whole, and nothing is lost or done twice."""
    sound = start(job()).finish()
    env = {**QUICKLY, "HPCMTL_FAULT": ";".join(LOSSES)}
    run = start(job(), env=env).finish()
    codes, records = [run.returncode], [(run.directory / "results.json").exists()]
    for _ in LOSSES:
        run = start.again(run.folder, PROGRAM, ["resume", str(run.directory)], env).finish()
        codes.append(run.returncode)
        records.append((run.directory / "results.json").exists())
    ends = [event["task"] for event in run.events if event["event"] == "task_ended"]
    layers = [event["layer"] for event in run.events if event["event"] == "layer_ended" and event["task"] == "digit"]
    damaged = [event["file"] for event in run.events if event["event"] == "checkpoint_damaged"]

    assert sound.returncode == 0, sound.said
    assert codes == [1, 1, 1, 75, 0], run.said  # a full disk stops a run
    assert records == [False] * len(LOSSES) + [True]
    assert len(list((run.directory / "faults").iterdir())) == len(";".join(LOSSES).split(";")) + 1  # rank=all: two
    assert (run.results["status"], run.results["attempt"]) == ("complete", len(LOSSES) + 1)
    assert layers == [0, 1]
    assert len(damaged) == 1
    assert sorted(ends) == ["digit", "last"]
    for task in ("digit", "last"):
        expected, found = sound.arrays(task), run.arrays(task)
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[each], found[each]) for each in expected), task
    assert run.leftovers() == []
