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


JOINT = {
    "kind": "joint",
    "trunk": {"model": {"name": "mlp", "outputs": 4}},
    "heads": {"h": {"model": {"name": "mlp", "outputs": 2}, "target": "d/y", "loss": "l2"}},
    "input": "d/x",
    "epochs": 1,
}
SEVERAL = {"kind": "train", "model": {"name": "mlp", "outputs": 2}, "loss": "l2", "epochs": 1}
SOURCE = {"input": "d/x", "target": "d/y"}


def only_problem(task: dict[str, Any], **keys: Any) -> str:
    """Returns the only problem of a job with one task, and with further keys."""
    with pytest.raises(InputError) as refused:
        parse_job({"hpcmtl": 1, "job": "j", "data": {"d": "d.h5"}, "tasks": {"t": task}, **keys})
    (found,) = refused.value.problems
    return str(found).removeprefix("job: ")


@pytest.mark.parametrize(
    ("task", "path", "home"),
    [
        ({**TASK, "epochs": 1, "data_memory": "1GiB"}, "data_memory", "the job, beside `tasks`"),
        ({**TASK, "epochs": 1, "stage": "scratch"}, "stage", "the job, beside `tasks`"),
        ({**TASK, "epochs": 1, "weighting": "log"}, "weighting", "tasks of kind joint"),
        ({**JOINT, "mean_over": "batch"}, "mean_over", "`heads`"),
        ({**JOINT, "heads": {"h": {**JOINT["heads"]["h"], "weighting": "log"}}}, "heads.h.weighting", "the task"),
    ],
)
def test_a_key_of_another_section(task: dict[str, Any], path: str, home: str) -> None:
    """A key that stands in the wrong section is told with its own, and no other key is suggested."""
    key = path.rpartition(".")[2]

    assert only_problem(task) == f"tasks.t.{path}: unknown key {key!r}; it belongs to {home}"


def test_a_key_of_the_job_or_of_its_parts() -> None:
    """Under `defaults` a key of the job is told with the job; beside `tasks`, one of a section with the section."""
    sound = {**TASK, "epochs": 1}

    assert only_problem(sound, defaults={"data_memory": 1}).endswith("it belongs to the job, beside `tasks`")
    assert only_problem(sound, scratch="/scratch").endswith("it belongs to `slurm`")


def test_a_misspelt_key_of_its_own_section_comes_first() -> None:
    """`inputs`, which tasks of another kind have, and `weights`, which samplers have, are here misspelt keys."""
    assert only_problem({**TASK, "epochs": 1, "inputs": "d/x"}).endswith("did you mean 'input'?")
    assert only_problem({**JOINT, "weights": [1]}).endswith("did you mean 'weighting'?")


def test_a_transform_as_a_key_and_an_option_beside_a_name() -> None:
    """Both are told with what to write."""
    assert only_problem({**TASK, "epochs": 1, "mixup": True}).endswith("it is a transform: write `transform: [mixup]`")
    assert only_problem({**JOINT, "weighting": {"name": "cagrad", "c": 0.2}}).endswith("write `options: {c: 0.2}`")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sources": ["a", "b"]}, "sources: found ['a', 'b']; write a mapping, such as {SOURCE: {input: DATA/ARRAY, "),
        ({"sources": {"a": "d/x"}}, "sources.a: found 'd/x'; write a mapping, such as {input: DATA/ARRAY, target: "),
        ({"sources": {"a": {**SOURCE, "inptu": "d/x"}}}, "sources.a.inptu: unknown key 'inptu'; did you mean 'input'?"),
        ({"source": {"a": SOURCE}}, "source: unknown key 'source'; did you mean 'sources'?"),
    ],
)
def test_wrong_sources_are_the_only_problem(keys: dict[str, Any], said: str) -> None:
    """An error in `sources` does not make `input` and `target` of the task missing."""
    assert only_problem({**SEVERAL, **keys}).startswith(f"tasks.t.{said}")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({**TASK, "input": ["d/x", "d/z"]}, "input: found ['d/x', 'd/z']; write DATA/ARRAY, or for several inputs {"),
        (
            {**SEVERAL, "sources": {"a": SOURCE}, "mixture": "equal"},
            "mixture: found 'equal'; write a mapping, such as {how",
        ),
        ({**TASK, "increment": True}, "increment: found True; write a mapping, such as {new_since: runs/EARLIER}"),
        ({**JOINT, "weighting": ["log"]}, "weighting: found ['log']; write a mapping, such as {name: cagrad, "),
    ],
)
def test_values_in_another_form(task: dict[str, Any], said: str) -> None:
    """The message has an example of the form that the key takes."""
    assert only_problem({"epochs": 1, **task}).startswith(f"tasks.t.{said}")
