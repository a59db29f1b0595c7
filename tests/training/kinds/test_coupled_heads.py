"""Heads that wait for each other, and consistency losses that cannot be, are refused by name before anything runs."""

from __future__ import annotations

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.load import parse_job
from hpcmtl.networks.consistency import Consistency
from hpcmtl.networks.coupled_heads import HeadInputs

DIGIT = {"model": {"name": "mlp", "outputs": 4}, "target": "data/digit", "loss": "softmax_ce"}
PARITY = {"model": {"name": "mlp", "outputs": 2}, "target": "data/parity", "loss": "softmax_ce"}
SIZE = {"model": {"name": "mlp", "outputs": 1}, "target": "data/size", "loss": "l2"}
AGREE = {"heads": ["digit", "parity"], "loss": "kl", "map": [0, 1, 0, 1]}
JOINT = {"kind": "joint", "input": "data/x", "trunk": {"model": {"name": "mlp", "outputs": 4}}, "epochs": 1}


def parsed(heads=None, **keys):
    """A job with a joint task of three heads."""
    own = {"digit": DIGIT, "parity": PARITY, "size": SIZE, **(heads or {})}
    tasks = {"joint": {**JOINT, "heads": own, **keys}}
    return parse_job({"hpcmtl": 1, "job": "j", "data": {"data": "data.h5"}, "tasks": tasks})


@pytest.mark.parametrize(
    ("heads", "keys", "place", "text"),
    [
        ({"parity": {**PARITY, "inputs": ["trunk", "digti"]}}, {}, "heads.parity.inputs", "did you mean 'digit'?"),
        ({"parity": {**PARITY, "inputs": ["parity"]}}, {}, "heads.parity.inputs", "parity -> parity; leave one"),
        (
            {"parity": {**PARITY, "inputs": ["digit"]}, "digit": {**DIGIT, "inputs": ["trunk", "parity"]}},
            {},
            "heads.digit.inputs",
            "heads wait for each other's outputs: digit -> parity -> digit",
        ),
        ({"parity": {**PARITY, "inputs": ["digit", "digit"]}}, {}, "heads.parity", "name each once"),
        ({"parity": {**PARITY, "inputs": []}}, {}, "heads.parity.inputs", "write one value or more"),
        ({"parity": {**PARITY, "gradient": "stop"}}, {}, "heads.parity", "there are none; leave it out"),
        ({"trunk": PARITY, "parity": {**PARITY, "inputs": ["trunk"]}}, {}, "heads.trunk", "give it another one"),
        ({}, {"consistency": {"digit": AGREE}}, "consistency.digit", "is the name of a head as well"),
        ({}, {"consistency": {"a": {**AGREE, "heads": ["digit", "odd"]}}}, "consistency.a.heads", "no head 'odd'"),
        ({}, {"consistency": {"a": {**AGREE, "heads": ["digit", "digit"]}}}, "consistency.a", "name two heads"),
        ({}, {"consistency": {"a": {**AGREE, "loss": "jsd"}}}, "consistency.a.loss", "did you mean 'js'?"),
        ({}, {"consistency": {"a": {**AGREE, "loss": "own:f"}}}, "consistency.a", "leave `map` out"),
        ({}, {"consistency": {"a": {**AGREE, "stop_gradient": "size"}}}, "consistency.a", "digit or parity"),
        ({}, {"consistency": {"a": {**AGREE, "map": [[1], [0, 1]]}}}, "consistency.a", "have 1 and 2 numbers"),
        (
            {},
            {"consistency": {"a": {**AGREE, "samples": "unlabelled"}}},
            "consistency.a.samples",
            "`missing` or `mask`",
        ),
        ({}, {"consistency": {"a": {**AGREE, "map": [[1, 0.5]] * 4}}}, "consistency.a.map", "row 0 is [1.0, 0.5]"),
        (
            {},
            {"consistency": {"a": {"heads": ["digit", "size"], "loss": "js"}}},
            "consistency.a.loss",
            "l2 of size trains no scores; use l2",
        ),
        ({}, {"consistency": {"a": AGREE}, "mode": "alternate"}, "consistency", "trains one head at once"),
        (
            {"parity": {**PARITY, "inputs": ["trunk", "digit"]}},
            {"mode": "separate"},
            "heads.parity.inputs",
            "makes a task of each head",
        ),
        (
            {"parity": {**PARITY, "per_token": True}},
            {"consistency": {"a": AGREE}},
            "consistency.a.heads",
            "use heads without `per_token`",
        ),
    ],
)
def test_what_is_refused(heads, keys, place, text):
    """Each has its place in the job file, and says what to do."""
    with pytest.raises(InputError) as raised:
        parsed(heads, **keys)

    assert [f"job: tasks.joint.{place}"] == [problem.where.partition(" (")[0] for problem in raised.value.problems]
    assert text in str(raised.value)


def arrays(**shapes):
    """Descriptions of the arrays of the data file."""
    given = {"x": (5,), "digit": (), "parity": (), "size": (), **shapes}
    kinds = {"digit": "i", "parity": "i"}
    return {
        f"data/{name}": ArraySpec(samples=9, shape=shape, kind=kinds.get(name, "f")) for name, shape in given.items()
    }


def test_shapes_are_checked_before_a_network_is_built():
    """Numbers of classes that differ, and inputs that cannot be joined, are told of the head or the loss."""
    job = parsed(consistency={"a": {**AGREE, "map": None}, "b": {**AGREE, "map": [0, 1]}})
    found = dict(kind_of(job, "joint").shape_checks(job, "joint", arrays()))
    by_token = parsed(
        {"parity": {**PARITY, "inputs": ["trunk", "digit"]}}, trunk={"model": {**DIGIT["model"], "per_token": True}}
    )
    unjoined = dict(kind_of(by_token, "joint").shape_checks(by_token, "joint", arrays(x=(3, 5))))

    assert "add a `map`" in found[("consistency", "a", "heads")]
    assert "`map` is from 2 values to 2, but digit has 4 values" in found[("consistency", "b", "map")]
    assert "cannot be joined on the last axis" in unjoined[("heads", "parity", "inputs")]


def test_descriptions_have_what_the_job_says():
    """Inputs of heads, and consistency losses with what the losses of their heads make of outputs."""
    heads = {
        "parity": {**PARITY, "inputs": ["trunk", "digit"], "gradient": "stop", "missing": -1},
        "size": {**SIZE, "inputs": ["digit"]},
    }
    agree = {**AGREE, "weight": 0.1, "stop_gradient": "digit", "samples": "unlabelled"}
    mean = {"heads": ["digit", "size"], "loss": "l2", "map": [[0], [1], [2], [3]]}
    job = parsed(heads, consistency={"agree": agree, "mean": mean}, weighting="uncertainty")
    kind = kind_of(job, "joint")

    assert kind.network(job, "joint").inputs == (
        ("parity", HeadInputs(("trunk", "digit"), "stop")),
        ("size", HeadInputs(("digit",), "pass")),
    )
    assert kind.consistency(job, "joint") == (
        Consistency(
            name="agree",
            heads=("digit", "parity"),
            loss="kl",
            values=("softmax", "softmax"),
            weight=0.1,
            map=((1, 0), (0, 1), (1, 0), (0, 1)),
            stop_gradient="digit",
            unlabelled=True,
        ),
        Consistency(
            name="mean", heads=("digit", "size"), loss="l2", values=("softmax", "plain"), map=((0,), (1,), (2,), (3,))
        ),
    )
    assert [each.name for each in kind.objectives(job, "joint")] == ["digit", "parity", "size"]


def test_a_source_without_a_head_that_others_take():
    """Each source is checked with the heads that it has targets of; samples of the other lack a label."""
    sources = {
        "one": {"input": "data/x", "targets": {"digit": "data/digit", "size": "data/size"}},
        "two": {"input": "data/x", "targets": {"parity": "data/parity"}},
    }
    own = {"digit": DIGIT, "parity": {**PARITY, "inputs": ["trunk", "digit"]}, "size": SIZE}
    heads = {name: {key: value for key, value in head.items() if key != "target"} for name, head in own.items()}
    keys = {"sources": sources, "heads": heads, "consistency": {"a": {**AGREE, "samples": "unlabelled"}}}
    joint = {key: value for key, value in {**JOINT, **keys}.items() if key != "input"}
    job = parse_job({"hpcmtl": 1, "job": "j", "data": {"data": "data.h5"}, "tasks": {"joint": joint}})

    assert list(kind_of(job, "joint").shape_checks(job, "joint", arrays())) == []
