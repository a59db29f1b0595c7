"""A family of every kind of task trains by PyTorch, alone and beside Gluon, and survives what others do."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import FAMILY, family, family_task
from runs import ABORTING, PROGRAM, by_mpirun, run_python

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

TORCH = {**FAMILY["defaults"], "framework": "torch"}
STEPS = {"trunk": 60, "digit": 120, "parity": 120, "joint": 100}


def of_torch(ranks, mixed=False):
    """The family by PyTorch; mixed, its trunk and what is taken from it by Gluon."""
    job = family(ranks=ranks, defaults=TORCH)
    for wide in ("trunk", "joint"):
        job["tasks"][wide]["ranks"] = ranks
    if mixed:
        job["tasks"]["trunk"]["framework"] = "gluon"
    return job


@pytest.fixture(scope="module")
def on(start_once):
    """The family on so many ranks, run once for all tests of this module."""
    runs = {}

    def run(ranks, mixed=False):
        if (ranks, mixed) not in runs:
            runs[ranks, mixed] = start_once(of_torch(ranks, mixed), PROGRAM).finish()
        return runs[ranks, mixed]

    return run


@pytest.mark.parametrize(
    ("ranks", "mixed"),
    [
        (2, False),
        pytest.param(1, False),
        pytest.param(4, False),
        pytest.param(2, True),
    ],
)
def test_everything_completes(on, ranks, mixed):
    """Every kind of task completes with the steps of any framework, and the joint network has learnt both things."""
    run = on(ranks, mixed)
    tasks = run.results["tasks"]
    report = tasks["report"]["metrics"]

    assert run.returncode == 0, run.said
    assert {name: task["status"] for name, task in tasks.items()} == dict.fromkeys(FAMILY["tasks"], "complete")
    assert {name: tasks[name]["steps"] for name in STEPS} == STEPS, (run.said, run.events)
    assert tasks["joint"]["engine"] == ("local" if ranks == 1 else "mpi")
    assert report["digit.accuracy"] > 0.85
    assert report["parity.accuracy"] > 0.93
    assert run.leftovers() == []


def test_artifacts_name_their_framework(on):
    """An artifact is opened by the framework that made it, and those of PyTorch need no MXNet."""
    run = on(2, True)
    code = (
        "import hpcmtl, sys, numpy as np\n"
        "found = [hpcmtl.load(f'{sys.argv[1]}/artifacts/{name}.h5') for name in sys.argv[2:]]\n"
        "print(*(each.description.framework for each in found))\n"
        "print(sorted(found[-1].network.outputs(np.zeros((2, 1, 8, 8), np.float32))), 'mxnet' in sys.modules)\n"
    )
    done = run_python(run.folder, "-c", code, run.directory, "trunk", "features", "digit", "joint")

    assert done.stdout.split("\n")[:2] == ["gluon gluon torch torch", "['digit', 'parity'] False"], done.stderr


def test_the_number_of_ranks_changes_little(on):
    """Losses and metrics are those of one rank, but for rounding and fp16 on the wire."""
    alone, together = on(1).results["tasks"], on(4).results["tasks"]

    assert together["trunk"]["metrics"]["loss"] == pytest.approx(alone["trunk"]["metrics"]["loss"], rel=0.02)
    for name, value in alone["report"]["metrics"].items():
        assert together["report"]["metrics"][name] == pytest.approx(value, abs=0.03), name


def layered(ranks, width):
    """A task of four layers that takes all that an update can, and one that depends on it."""
    optimizer = {
        "name": "adamw",
        "learning_rate": 0.003,
        "weight_decay": 0.01,
        "clip_norm": 0.5,
        "groups": {"output.*": {"learning_rate": 0.01}},
    }
    settings = {"epochs": 4, "layers": 4, "ranks": width, "optimizer": optimizer, "accumulate": 2, "precision": "fp16"}
    digit = family_task("digit", input="digits/images", **settings)
    after = {"kind": "predict", "needs": {"digit": "parameters"}}
    return family(ranks=ranks, defaults=TORCH, tasks={"digit": digit, "after": after})


def test_a_lost_rank(start):
    """A group that loses a rank in a step takes the layer again with another one, and ends with the same bits."""
    sound = start(layered(4, 3), by_mpirun(4)).finish()
    run = start(layered(4, 3), by_mpirun(4), env={"HPCMTL_FAULT": "kill:rank=2,task=digit,layer=1,step=1"}).finish()
    expected, found = sound.arrays("digit"), run.arrays("digit")

    assert (sound.returncode, run.returncode) == (0, 0), sound.said + run.said
    assert [e["layer"] for e in run.events if e["event"] == "layer_started" and e["task"] == "digit"] == [0, 1, 1, 2, 3]
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_killed_run_goes_on_with_fewer_ranks(start):
    """All ranks die in the third layer; one rank goes on from the end of the second, and ends near the undisturbed."""
    sound = start(layered(2, {"min": 1}), by_mpirun(2)).finish()
    env = {"HPCMTL_FAULT": "kill:rank=all,task=digit,layer=2,step=1", "HPCMTL_FT": "0"}
    died = start(layered(2, {"min": 1}), by_mpirun(2), env=env).finish()
    again = start.again(died.folder, by_mpirun(1, ABORTING), ["resume", str(died.directory)], None).finish()
    expected, found = sound.arrays("digit"), again.arrays("digit")

    assert died.returncode != 0
    assert again.returncode == 0, again.said
    assert all(np.allclose(found[name], expected[name], atol=2e-3) for name in expected)
