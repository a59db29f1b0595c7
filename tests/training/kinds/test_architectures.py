"""Architectures that a joint task cannot have are refused by name, before anything runs."""

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.load import parse_job
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.parameter_mapping import ParameterMapping

HEADS = {
    name: {"model": {"name": "mlp", "outputs": 1}, "target": f"data/{name}", "loss": "l2"} for name in ("one", "other")
}
JOINT = {"kind": "joint", "input": "data/x", "trunk": {"model": {"name": "mlp", "outputs": 4}}, "epochs": 1}
RNN = {"name": "embedding_rnn", "vocabulary": 5, "embedding": 2, "hidden": 2, "outputs": 2}
MMOE = {"name": "mmoe", "experts": 3}
PLE = {"name": "ple", "shared": 1, "own": 1}


def parsed(tasks=None, **keys):
    """A job with a joint task with some keys, and other tasks."""
    made = {"joint": {**JOINT, "heads": HEADS, **keys}, **(tasks or {})}
    return parse_job({"hpcmtl": 1, "job": "j", "data": {"data": "data.h5"}, "tasks": made})


@pytest.mark.parametrize(
    ("keys", "place", "text"),
    [
        ({"architecture": "mmo"}, "joint.architecture.name", "unknown architecture 'mmo'; did you mean 'mmoe'?"),
        ({"architecture": {"experts": 2}}, "joint.architecture", "one of hard_sharing, cross_stitch, mmoe, cgc"),
        ({"architecture": [MMOE]}, "joint.architecture", "such as {name: mmoe, experts: 4}"),
        ({"architecture": "mmoe"}, "joint.architecture.experts", "is missing"),
        ({"architecture": {**MMOE, "expert": 2}}, "joint.architecture.expert", "did you mean 'experts'?"),
        ({"architecture": {"name": "cross_stitch", "own": 2}}, "joint.architecture.own", "at most 1"),
        (
            {"architecture": {"name": "dselect_k", "experts": 6, "chosen": 2}},
            "joint.architecture.experts",
            "write 4 or 8",
        ),
        (
            {"architecture": {"name": "dselect_k", "experts": 4, "chosen": 5}},
            "joint.architecture.chosen",
            "more than the 4 experts",
        ),
        ({"architecture": {**PLE, "levels": []}}, "joint.architecture.levels", "use `cgc`"),
        ({"architecture": {**PLE, "levels": [RNN]}}, "joint.architecture.name", "a model of one input of numbers"),
        ({"architecture": MMOE, "heads": {"one": HEADS["one"]}}, "joint.architecture.name", "the task has one"),
        (
            {"architecture": MMOE, "heads": {"one": HEADS["one"], "b.c": HEADS["other"]}},
            "joint.heads.b.c",
            "write b_c",
        ),
        (
            {
                "architecture": MMOE,
                "framework": "torch",
                "weighting": {"name": "mgda", "gradients_at": "last_shared_layer"},
            },
            "joint.weighting.gradients_at",
            "with mmoe each head has a code of its own",
        ),
        ({"architecture": MMOE, "trunk": {"model": RNN}}, "joint.architecture.name", "`input` takes integers"),
        (
            {"architecture": MMOE, "trunk": {"model": {"name": "own:Net", "input_type": "integer"}}},
            "joint.architecture.name",
            "`input` takes integers",
        ),
        (
            {"architecture": "mtan", "trunk": {"model": {"name": "own:Net"}}},
            "joint.architecture.name",
            "mtan does not fit: its trunk needs layers one by one",
        ),
        (
            {"architecture": {**PLE, "levels": [{"name": "mlp.Net", "outputs": 2}]}},
            "joint.architecture.levels.0.name",
            "unknown model 'mlp.Net'; write 'mlp:Net'",
        ),
    ],
)
def test_what_is_refused(keys, place, text):
    """Each has its place in the job file, and says what to do."""
    with pytest.raises(InputError) as raised:
        parsed(**keys)

    assert [f"job: tasks.{place}"] == [problem.where.partition(" (")[0] for problem in raised.value.problems]
    assert text in str(raised.value)


def test_a_trunk_of_experts_is_no_trunk_of_another_task():
    """The codes of heads are not one network."""
    later = {"kind": "joint", "input": "data/x", "epochs": 1, "needs": {"joint": "parameters"}, "heads": HEADS}

    for trunk in ({"from": "joint"}, {"from": "joint", "part": "trunk.codes.one"}):
        with pytest.raises(InputError, match="has the architecture mmoe, which makes a code for each head"):
            parsed({"later": {**later, "trunk": trunk}}, architecture=MMOE)


def test_copies_take_the_parameters_of_the_trunk():
    """Each copy begins with the parameters of the task that the trunk comes from."""
    first = {"kind": "train", "input": "data/x", "target": "data/one", "loss": "l2", "epochs": 1}
    first = {"first": {**first, "model": {"name": "mlp", "widths": [3], "outputs": 1}}}
    keys = {"needs": {"first": "parameters"}, "trunk": {"from": "first", "part": "body"}}
    job = parsed(first, architecture="cross_stitch", **keys)

    assert kind_of(job, "joint").parameter_mappings(job, "joint") == tuple(
        ParameterMapping("first", "body.", f"trunk.towers.{name}.") for name in HEADS
    )


def test_hard_sharing_is_the_default():
    """Its network is a trunk with heads, as without the key."""
    for job in (parsed(), parsed(architecture="hard_sharing")):
        network = kind_of(job, "joint").network(job, "joint")

        assert isinstance(network, Shared)
        assert isinstance(network.trunk, Leaf)
