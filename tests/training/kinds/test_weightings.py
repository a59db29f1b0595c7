"""Weightings that a joint task cannot have are refused by name, before anything runs."""

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.load import parse_job

HEADS = {
    name: {"model": {"name": "mlp", "outputs": 1}, "target": f"data/{name}", "loss": "l2"} for name in ("one", "other")
}
JOINT = {"kind": "joint", "input": "data/x", "trunk": {"model": {"name": "mlp", "outputs": 4}}, "epochs": 1}


def parsed(**keys):
    """A job with a joint task with some keys."""
    tasks = {"joint": {**JOINT, "heads": HEADS, **keys}}
    return parse_job({"hpcmtl": 1, "job": "j", "data": {"data": "data.h5"}, "tasks": tasks})


@pytest.mark.parametrize(
    ("keys", "place", "text"),
    [
        ({"weighting": "nash"}, "joint.weighting.name", "did you mean 'nash_mtl'?"),
        ({"weighting": "sum"}, "joint.weighting.name", "the sum of the losses is the default: leave `weighting` out"),
        ({"weighting": {"name": "cagrad", "options": {"d": 1}}}, "joint.weighting.options.d", "unknown key 'd'"),
        ({"weighting": {"name": "cagrad", "c": 1}}, "joint.weighting.c", "unknown key 'c'"),
        ({"weighting": {"options": {}}}, "joint.weighting.name", "is missing"),
        ({"weighting": "auto_lambda"}, "joint.weighting.name", "needs validation products, which training does not"),
        ({"weighting": "modo", "accumulate": 2}, "joint.accumulate", "modo compares the gradients of two halves"),
        ({"weighting": "modo", "transform": "mixup"}, "joint.transform", "`mixup` mixes samples of one"),
        ({"weighting": {"name": "sdmgrad", "biased": True}}, "joint.weighting.biased", "halves of the whole batch"),
        ({"weighting": {"name": "dwa", "every": 5}}, "joint.weighting.every", "dwa does not weigh by the gradients"),
        ({"weighting": {"name": "moco", "every": 5}}, "joint.weighting.every", "makes other rows of the gradients"),
        ({"weighting": {"name": "graddrop", "biased": True}}, "joint.weighting.biased", "leave `biased` out"),
        ({"weighting": {"name": "nash_mtl", "every": 0}}, "joint.weighting.every", "found 0"),
        (
            {"weighting": {"name": "gls", "gradients_at": "features"}},
            "joint.weighting.gradients_at",
            "gls does not weigh",
        ),
        ({"weighting": {"name": "mgda", "gradients_at": "last"}}, "joint.weighting.gradients_at", "found 'last'"),
        (
            {"weighting": {"name": "mgda", "gradients_at": "features", "biased": True}},
            "joint.weighting.biased",
            "over the whole group; leave one of both out",
        ),
        (
            {"weighting": {"name": "mgda", "gradients_at": "features"}, "accumulate": 2},
            "joint.accumulate",
            "needs the whole batch in one pass",
        ),
        (
            {"weighting": {"name": "mgda", "gradients_at": "features"}, "sync_batchnorm": True},
            "joint.sync_batchnorm",
            "needs it whole",
        ),
        (
            {"weighting": {"name": "mgda", "gradients_at": "features"}, "architecture": {"name": "mmoe", "experts": 2}},
            "joint.weighting.gradients_at",
            "mmoe has one for each head",
        ),
        (
            {"weighting": {"name": "mgda", "gradients_at": "last_shared_layer"}, "framework": "gluon"},
            "joint.weighting.gradients_at",
            "MXNet Gluon compares gradients at shared or features",
        ),
        ({"weighting": "gls", "accumulate": 2}, "joint.accumulate", "leave one of both out"),
        ({"weighting": "mgda", "heads": {"one": HEADS["one"]}}, "joint.weighting", "one head"),
        ({"trunk": {}}, "joint.trunk", "either `from: TASK` or `model: {...}`"),
        ({"trunk": {"model": JOINT["trunk"]["model"], "part": "body"}}, "joint.trunk", "`part` belongs to `from`"),
    ],
)
def test_what_is_refused(keys, place, text):
    """Each has its place in the job file, and says what to do."""
    with pytest.raises(InputError) as raised:
        parsed(**keys)

    assert [f"job: tasks.{place}"] == [problem.where.partition(" (")[0] for problem in raised.value.problems]
    assert text in str(raised.value)


def test_a_name_is_a_choice_without_options():
    """A name alone is a weighting with its defaults; a task without the key has none."""
    job = parsed(weighting="nash_mtl")
    plain = parsed()

    assert kind_of(job, "joint").weighting(job, "joint").name == "nash_mtl"
    assert kind_of(job, "joint").weighting(job, "joint").options == {}
    assert kind_of(plain, "joint").weighting(plain, "joint") is None


def test_options_of_a_weighting():
    """Options are kept as they are written."""
    job = parsed(weighting={"name": "cagrad", "options": {"c": 0.2}})

    assert kind_of(job, "joint").weighting(job, "joint").options == {"c": 0.2}
