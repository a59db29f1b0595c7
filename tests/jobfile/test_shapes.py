from __future__ import annotations

from typing import Any

import pytest

from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.references import check_datasets
from hpcmtl.jobfile.shapes import arrays_of
from hpcmtl.taskgraph.graph import topological_order

SPLIT = (80, 10, 10)
FILES = {
    "digits/images": ArraySpec(100, (1, 28, 28), split=SPLIT),
    "digits/digit": ArraySpec(100, (), "i", 10, itemsize=1, split=SPLIT),
    "digits/parity": ArraySpec(100, (), "f", split=SPLIT),
}


def described(job: dict[str, Any], **changes: Any) -> tuple[dict[str, ArraySpec], dict[str, str]]:
    """All arrays of a job, and what does not fit by key; `changes` replace arrays of the file."""
    files = {**FILES, **{f"digits/{name}": array for name, array in changes.items()}}
    checked = parse_job(job)
    order = topological_order({name: task.needs for name, task in checked.tasks.items()})
    there = {name: array for name, array in files.items() if array is not None}
    arrays, misfits = arrays_of(checked, there, order)
    return arrays, {".".join(path): message for path, message in [*check_datasets(checked, there), *misfits]}


def test_a_sound_job_describes_what_its_tasks_publish(digits: dict[str, Any]) -> None:
    """Rows, split and shape of features are known before anything runs."""
    arrays, found = described(digits)

    assert found == {}
    assert arrays["features/values"] == ArraySpec(100, (32,), split=SPLIT)


def test_predictions_have_an_array_an_objective(digits: dict[str, Any]) -> None:
    """A predict task publishes the outputs of each head by its name."""
    digits["tasks"]["guess"] = {"kind": "predict", "needs": {"joint": "parameters"}}
    arrays, found = described(digits)

    assert found == {}
    assert arrays["guess/digit"] == ArraySpec(100, (10,), split=SPLIT)


def test_what_only_running_tells_is_open(digits: dict[str, Any]) -> None:
    """Outputs of a callable, and all that is computed from them, have unknown rows and shapes and are not refused."""
    digits["tasks"]["make"] = {"kind": "python", "callable": "m:f", "outputs": ["x"]}
    digits["tasks"]["digit"] |= {"input": "make/x", "needs": {"make": "data"}}
    digits["tasks"].pop("joint")
    digits["tasks"]["report"]["needs"] = {"digit": "parameters", "make": "data"}
    arrays, found = described(digits)

    assert found == {}
    assert arrays["make/x"] == ArraySpec(None, None)


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"digit": None}, "tasks.digit.target", "has no dataset 'digit'"),
        ({"digit": ArraySpec(99, (), "i", 10)}, "tasks.digit", "arrays of different length: features/values has 100"),
        (
            {"digit": ArraySpec(100, (), "f")},
            "tasks.digit.target",
            "needs one whole number a sample, but digits/digit has floating point numbers; write whole numbers",
        ),
        ({"digit": ArraySpec(100, (2,), "i")}, "tasks.digit.target", "samples of shape (2,)"),
        (
            {"digit": ArraySpec(100, (), "i", 12)},
            "tasks.digit.target",
            "has 12 classes but the network makes 10 outputs",
        ),
        ({"images": ArraySpec(100, (784,), split=SPLIT)}, "tasks.trunk.input", "takes images of shape"),
        (
            {"images": ArraySpec(100, (1, 28, 28), split=(0, 50, 50))},
            "tasks.trunk.input",
            "no samples in the train split",
        ),
        (
            {"images": ArraySpec(100, (1, 28, 28), split=(50, 0, 50))},
            "tasks.digit.metrics",
            "no samples in the val split for accuracy: add some, leave the metrics out, or write `validate_every: 0`",
        ),
        (
            {"images": ArraySpec(100, (1, 28, 28), split=(50, 0, 50))},
            "tasks.joint.heads.digit.metrics",
            "no samples in the val split for accuracy",
        ),
    ],
)
def test_data_that_does_not_fit_is_named(
    digits: dict[str, Any], changes: dict[str, Any], where: str, message: str
) -> None:
    """Missing datasets, lengths, kinds, classes and shapes are found before training, at the key that reads them."""
    _, found = described(digits, **changes)

    assert message in found[where]


@pytest.mark.parametrize(
    ("outputs", "loss", "fits"),
    [(1, "l2", True), (1, "sigmoid_bce", True), (2, "l2", False), (2, "package.module:loss", True)],
)
def test_outputs_must_have_the_shape_of_their_target(
    digits: dict[str, Any], outputs: int, loss: str, fits: bool
) -> None:
    """One output fits a scalar target; what a loss of the user's takes, only the user knows."""
    model = {"name": "mlp", "outputs": outputs}
    changes = {"target": "digits/parity", "loss": loss, "model": model, "metrics": []}
    digits["tasks"]["parity"] = {**digits["tasks"]["digit"], **changes}
    _, found = described(digits)

    assert (found == {}) == fits
    assert fits or list(found) == ["tasks.parity.target"]


def test_heads_must_fit_the_trunk_and_their_targets(digits: dict[str, Any]) -> None:
    """A new head of a joint task is checked against its own target, on top of the shared code."""
    head = {"model": {"name": "mlp", "outputs": 3}, "target": "digits/digit", "loss": "softmax_ce"}
    digits["tasks"]["joint"]["heads"]["second"] = head
    _, found = described(digits)

    assert found.keys() == {"tasks.joint.heads.second.target"}


def test_mistakes_in_several_tasks_come_at_once(digits: dict[str, Any]) -> None:
    """The whole family is checked in one go."""
    digits["tasks"]["features2"] = {**digits["tasks"]["features"], "input": "digits/digit"}
    _, found = described(digits, digit=ArraySpec(100, (), "i", 12))

    assert {"tasks.digit.target", "tasks.features2.input"} <= found.keys()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (ArraySpec(100, (4,), split=SPLIT), "a sample has one weight, but digits/parity has samples of shape (4,)"),
        (ArraySpec(100, (), "U", split=SPLIT), "has values of type text"),
        (ArraySpec(None, None), ""),
        (ArraySpec(100, (), "i", split=SPLIT), ""),
    ],
)
def test_a_sample_has_one_weight(digits: dict[str, Any], weights: ArraySpec, said: str) -> None:
    """Weights of another shape or type are found before training; an unknown shape is left to the run."""
    digits["tasks"]["digit"]["sample_weights"] = "digits/parity"
    _, found = described(digits, parity=weights)

    assert list(found) == (["tasks.digit.sample_weights"] if said else [])
    assert said in "".join(found.values())


def test_nothing_to_validate_is_no_problem_where_nothing_is_asked(digits: dict[str, Any]) -> None:
    """Without samples in the val split: a task without metrics, and one that never validates, are sound."""
    digits["tasks"]["digit"]["validate_every"] = 0
    digits["tasks"]["joint"]["heads"]["digit"]["metrics"] = []
    _, found = described(digits, images=ArraySpec(100, (1, 28, 28), split=(50, 0, 50)))

    assert found == {}
