"""A setting of an optimizer in another place is told with the place where it belongs."""

from __future__ import annotations

from typing import Any

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job

TASK = {"kind": "train", "model": {"name": "mlp", "outputs": 2}, "input": "d/x", "target": "d/y", "loss": "l2"}
SGD = {"name": "sgd", "learning_rate": 0.1}


def problem(optimizer: dict[str, Any], **keys: Any) -> str:
    """Returns the only problem of a job with one task."""
    tasks = {"t": {**TASK, "epochs": 1, "optimizer": optimizer, **keys}}
    with pytest.raises(InputError) as refused:
        parse_job({"hpcmtl": 1, "job": "j", "data": {"d": "d.h5"}, "tasks": tasks})
    (found,) = refused.value.problems
    return str(found).removeprefix("job: tasks.t.")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("momentum", 0.9, "arguments of the optimizer's own are under `options`: write `options: {momentum: 0.9}`"),
        ("epsilon", 1e-6, "write `options: {epsilon: 1e-06}`"),
        ("nesterov", True, "write `options: {nesterov: true}`"),
        ("factors", [1, 2], "write `options: {factors: [1, 2]}`"),
        ("lr", 0.1, "did you mean 'learning_rate'?"),
        ("learning_rat", 0.1, "did you mean 'learning_rate'?"),
    ],
)
def test_a_key_inside_an_optimizer(key: str, value: Any, said: str) -> None:
    """An argument of the optimizer goes under its options; a misspelt key gives the key."""
    found = problem({**SGD, key: value})

    assert found.startswith(f"optimizer.{key}: unknown key {key!r}; ")
    assert found.endswith(said)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("momentum", 0.9, "it belongs to `optimizer`: write `options: {momentum: 0.9}` there"),
        ("weight_decay", 0.01, "it belongs to `optimizer`: write `weight_decay: 0.01` there"),
        ("lr", 0.01, "it belongs to `optimizer`: write `learning_rate: 0.01` there"),
        ("batchsize", 8, "did you mean 'batch_size'?"),
    ],
)
def test_a_key_of_an_optimizer_in_a_task(key: str, value: Any, said: str) -> None:
    """The message says what to write, and where."""
    assert problem(SGD, **{key: value}) == f"{key}: unknown key {key!r}; {said}"
