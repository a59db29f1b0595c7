"""Whatever ended an attempt: `hpcmtl resume` goes on with the run, and its weights are those of a sound one.

The fault stays asked for in the second attempt: it has happened in this run directory and does not happen again.
"""

import numpy as np
import pytest
from jobs import family, family_task
from runs import PROGRAM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
QUICKLY = {"HPCMTL_HEARTBEAT": "0.2", "HPCMTL_HUNG_SECONDS": "1"}
LOST = "kill:rank=1,task=digit,layer=2,step=1"

# Name -> fault of the first attempt. Each is one attempt that ends and one that completes.
RESUMED = {
    "one rank killed": LOST,
    "all ranks killed": "kill:rank=all,task=digit,layer=1,step=3",
    "an error on one rank": "raise:rank=1,task=digit,layer=1,step=2",
    "a rank stopped": "stop:rank=1,task=digit,layer=1,step=1",
    "killed with half a checkpoint": "kill:checkpoint,task=digit,nth=2,stage=half",
    "killed before the rename": "kill:checkpoint,task=digit,nth=2,stage=before-rename",
    "killed after the rename": "kill:checkpoint,task=digit,nth=2,stage=after-rename",
    "killed with half an artifact": "kill:artifact,task=digit",
    "killed with half an event": "kill:ledger,nth=6",
    "a flipped checkpoint": f"flip:checkpoint,task=digit,nth=2;{LOST}",
    "a truncated checkpoint": f"truncate:checkpoint,task=digit,nth=2;{LOST}",
    "no room for the ledger": "full:ledger,nth=6",
    "no room for the results": "full:results",
}


def job():
    """One training on two ranks, and what is predicted with it."""
    trained = {"input": "digits/images", "ranks": 2, "epochs": 4, "layers": 4}
    last = {"kind": "predict", "ranks": 2, "needs": {"digit": "parameters"}}
    return family(ranks=2, tasks={"digit": family_task("digit", **trained), "last": last})


@pytest.fixture(scope="module")
def sound(start_once):
    """A run that nothing interrupts."""
    return start_once(job()).finish()


@pytest.mark.parametrize("name", RESUMED)
def test_resumed(start, sound, name):
    """The attempt that goes on completes the run with the weights of a sound one, and each task ends once."""
    first = start(job(), env={**QUICKLY, "HPCMTL_FAULT": RESUMED[name]}).finish()
    code = first.returncode
    second = start.again(first, [*PROGRAM, "resume", str(first.directory)]).finish()
    ends = [event["task"] for event in second.events if event["event"] == "task_ended"]
    started = [event for event in second.events if event["event"] == "job_started"]

    assert sound.returncode == 0, sound.said
    assert code not in {0, 75}, first.said
    assert second.returncode == 0, second.said
    assert second.results["status"] == "complete"
    assert (second.results["attempt"], [event["attempt"] for event in started]) == (2, [1, 2])
    assert sorted(ends) == ["digit", "last"]
    for task in ("digit", "last"):
        expected, found = sound.arrays(task), second.arrays(task)
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[each], found[each]) for each in expected), task
    assert second.leftovers() == []
