"""Parameters that a joint task takes from other tasks before its first step, and those that it leaves."""

from __future__ import annotations

import numpy as np
import pytest

SLOW = {"name": "sgd", "learning_rate": 1e-30}  # parameters stay as they were taken


def joint(needs, **keys):
    """A joint task on the body of task `a`, with a new head."""
    head = {"model": {"name": "mlp", "outputs": 3}, "target": "small/digit", "loss": "softmax_ce"}
    return {
        "kind": "joint",
        "input": "small/images",
        "needs": dict.fromkeys(needs, "parameters"),
        "trunk": {"from": "a", "part": "body"},
        "heads": {"h": head},
        "epochs": 1,
        **keys,
    }


@pytest.fixture
def trained(bench, task):
    """The parameters of `a`, of a joint task behind it, and of two that take a part of these."""
    tasks = {
        "a": task(epochs=1),
        "first": joint(["a"]),
        "second": joint(["a", "first"], initialise={"first": "heads.*"}, optimizer=SLOW),
        "third": joint(["a"], initialise={"a": "body.0.*"}, optimizer=SLOW),
    }
    made = bench(tasks)
    for name in tasks:
        made.run(name)
    return {name: made.parameters(name) for name in tasks}


def test_initialise_adds_another_task(trained):
    """The head comes from the joint task before, by its pattern; the trunk still from the task of `trunk`."""
    made = trained["second"]
    heads = [name for name in made if name.startswith("parameters/heads.")]

    assert heads
    assert all(np.array_equal(made[name], trained["first"][name]) for name in heads)
    assert np.array_equal(made["parameters/trunk.0.weight"], trained["a"]["parameters/body.0.weight"])


def test_initialise_limits_what_the_trunk_takes(trained):
    """Of the body only the matching parameters are taken; the others are fresh."""
    made, given = trained["third"], trained["a"]

    assert np.array_equal(made["parameters/trunk.0.weight"], given["parameters/body.0.weight"])
    assert not np.array_equal(made["parameters/trunk.3.weight"], given["parameters/body.3.weight"])


def test_copies_of_a_trunk_begin_with_its_parameters(bench, task):
    """All towers of a cross-stitch network are the body of the task that the trunk comes from."""
    head = {"model": {"name": "mlp", "outputs": 3}, "target": "small/digit", "loss": "softmax_ce"}
    keys = {"heads": {"h": head, "g": head}, "architecture": "cross_stitch", "optimizer": SLOW}
    made = bench({"a": task(epochs=1), "towers": joint(["a"], **keys)})
    for name in ("a", "towers"):
        made.run(name)
    given, taken = made.parameters("a"), made.parameters("towers")
    body = {name.removeprefix("parameters/body."): array for name, array in given.items() if "/body." in name}

    assert body
    for name, array in body.items():
        for tower in ("h", "g"):
            # An update of 1e-30 changes zeros alone.
            np.testing.assert_allclose(taken[f"parameters/trunk.towers.{tower}.{name}"], array, rtol=0, atol=1e-25)
