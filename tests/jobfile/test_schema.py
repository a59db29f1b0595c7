from __future__ import annotations

import pytest
from pydantic import ValidationError

from hpcmtl.jobfile.fields import parse_size
from hpcmtl.jobfile.in_code import make_task
from hpcmtl.jobfile.schema import Job
from hpcmtl.jobfile.sections import Layers
from hpcmtl.training.kinds.schemas import Head

TASK = {
    "kind": "train",
    "model": {"name": "mlp", "outputs": 2},
    "input": "d/x",
    "target": "d/y",
    "loss": "l2",
    "epochs": 1,
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4MiB", 4 * 2**20),
        ("1 KiB", 1024),
        ("2GiB", 2**31),
        ("3kb", 3000),
        ("1.5MB", 1_500_000),
        ("17", 17),
        ("17B", 17),
        (" 8 ", 8),
        (99, 99),
        (None, None),
    ],
)
def test_sizes_are_read_with_their_unit(text: object, expected: object) -> None:
    """Binary and decimal units differ, no unit means bytes, and what is no text is left alone."""
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["4 monkeys", "MiB", "-4MiB", "4 Mi B", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    """A size that cannot be read says how to write one."""
    with pytest.raises(ValueError, match="is not a size; write bytes or a number with KiB"):
        parse_size(text)


@pytest.mark.parametrize("size", [0, "0MiB", -1])
def test_a_layer_has_a_positive_quantum(size: object) -> None:
    """No quantum would mean infinitely many layers."""
    with pytest.raises(ValidationError):
        Layers(quantum=size)


def test_short_forms_mean_the_long_ones() -> None:
    """A bare number of ranks is both limits, a bare edge its kind, and a list of needs order edges."""
    task = make_task("extract", output="x", needs={"a": "parameters"}, ranks=3)
    other = make_task("python", callable="m:f", needs=["a", "b"])

    assert (task.ranks.min, task.ranks.max, task.needs["a"].kind) == (3, 3, "parameters")
    assert {name: need.kind for name, need in other.needs.items()} == {"a": "order", "b": "order"}


@pytest.mark.parametrize("keys", [{}, {"from": "a", "model": {"name": "mlp", "outputs": 1}}])
def test_a_head_has_exactly_one_origin(keys: dict[str, object]) -> None:
    """A head without a network, or with two, has no meaning."""
    with pytest.raises(ValidationError, match="either `from: TASK` or `model"):
        Head.model_validate(keys)


def test_a_new_head_says_what_it_is_trained_for() -> None:
    """A head with a model of its own inherits neither target nor loss."""
    with pytest.raises(ValidationError, match="needs `target` and `loss`"):
        Head.model_validate({"model": {"name": "mlp", "outputs": 1}})


def test_a_job_is_frozen() -> None:
    """Values of a job cannot change after they were checked."""
    job = Job(job="j", tasks={"a": make_task("python", callable="m:f")})

    with pytest.raises(ValidationError, match="frozen"):
        job.ranks = 2


def test_the_schema_for_editors_describes_keys() -> None:
    """The JSON Schema holds the keys of the job file and what they mean."""
    schema = Job.model_json_schema(by_alias=True)

    assert set(schema["required"]) == {"job", "tasks"}
    assert schema["$defs"]["Layers"]["properties"]["quantum"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert schema["additionalProperties"] is False


LARGE = [
    ({"ranks": 10**9}, "ranks"),
    ({"seed": 2**63}, "seed"),
    ({"layers": {"max_layers": 10**6}}, "layers.max_layers"),
    ({"layers": {"quantum": "9999999999GiB"}}, "layers.quantum"),
    ({"defaults": {"batch_size": 1e30}}, "defaults.batch_size"),
    ({"tasks": {"a": {**TASK, "epochs": 1e30}}}, "tasks.a.epochs"),
    ({"tasks": {"a": {**TASK, "priority": -(10**10)}}}, "tasks.a.priority"),
    ({"tasks": {"a": {**TASK, "ranks": {"max": 10**8}}}}, "tasks.a.ranks.max"),
    ({"tasks": {"a": {**TASK, "model": {"name": "mlp", "outputs": 10**12}}}}, "tasks.a.model.mlp.outputs"),
    ({"tasks": {"a": {**TASK, "retries": 10**10}}}, "tasks.a.retries"),
]


@pytest.mark.parametrize(("keys", "place"), LARGE, ids=[place for _, place in LARGE])
def test_numbers_beyond_any_machine_are_refused(keys: dict[str, object], place: str) -> None:
    """A number that no machine could mean is refused at its key, before anything is planned with it."""
    job = {"hpcmtl": 1, "job": "j", "data": {"d": "d.h5"}, "tasks": {"a": TASK}, **keys}
    with pytest.raises(ValidationError) as refused:
        Job.model_validate(job)

    assert [".".join(map(str, each["loc"])) for each in refused.value.errors()] == [place]
