"""Values that a network, a loss or a metric cannot use are refused before any training, with sample and value."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import preflight

ROWS = 24
CLASSES = np.arange(ROWS) % 3
OWN = {"name": "own_blocks:TwoParts", "outputs": 3}


def check(tmp_path, arrays, attributes=None, begun=(), **keys):
    """Make the checks before a run of one task on arrays of its own; return what is refused, or nothing."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
    file = tmp_path / "rows.h5"
    write_dataset_file(file, {"x": x, "y": CLASSES, **arrays}, np.arange(ROWS) % 3, attributes or {}, overwrite=True)
    task = {
        "kind": "train",
        "input": "rows/x",
        "target": "rows/y",
        "loss": "softmax_ce",
        "model": {"name": "mlp", "outputs": 3},
        "epochs": 1,
        **keys,
    }
    job = {"hpcmtl": 1, "job": "values", "data": {"rows": str(file)}, "tasks": {"net": task}}
    try:
        preflight(prepare(parse_job(job)), ["net"], begun)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("model", [{"name": "mlp", "outputs": 3}, OWN])
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (CLASSES + 1, "sample 2 has label 3, but the network has one output for each of 3 classes"),
        (CLASSES - 1, "sample 0 has label -1"),
        (np.arange(ROWS) % 10, "sample 9 has label 9"),
        (CLASSES, ""),
    ],
)
def test_labels_outside_the_outputs_are_refused(tmp_path, model, labels, said):
    """Models of hpcmtl and of the user: labels 1 to 3, -1 to 1 and 0 to 9 on three outputs; MXNet clips them."""
    found = check(tmp_path, {"y": labels}, model=model)

    assert said in found
    assert bool(found) == bool(said)
    assert not said or "tasks.net.target: rows/y: sample" in found


NOT_ALL = np.where(CLASSES == 1, -1, CLASSES)
REAL = np.where(np.arange(ROWS) % 4, np.linspace(-1, 1, ROWS), np.nan)
NUMBER = {"loss": "l2", "model": {"name": "mlp", "outputs": 1}}
PAIRS = np.column_stack([REAL, np.linspace(0, 1, ROWS)])
PAIR = {"loss": "l2", "model": {"name": "mlp", "outputs": 2}}


@pytest.mark.parametrize(
    ("values", "keys", "said"),
    [
        (NOT_ALL, {}, "sample 1 has label -1, but the network has one output for each of 3 classes: write 0 to 2"),
        (NOT_ALL, {}, "if this label is missing, write `missing: -1` beside the target"),
        (NOT_ALL, {"missing": -1}, ""),
        (NOT_ALL, {"missing": -9}, "sample 1 has label -1"),
        (np.where(CLASSES == 1, 7, NOT_ALL), {"missing": -1}, "sample 1 has label 7"),
        (np.where(CLASSES == 1, 7, CLASSES), {}, "or give the network at least 8 outputs; if this label is missing"),
        (np.where(CLASSES == 1, np.nan, CLASSES), {"missing": "nan"}, ""),
        (np.full(ROWS, -1), {"missing": -1}, "all labels are missing, so that nothing would be learned"),
        (CLASSES, {"missing": "nan"}, "tasks.net.missing: rows/y has whole numbers, none of which is NaN"),
        (REAL, NUMBER, "write `missing: nan` beside the target"),
        (REAL, {**NUMBER, "missing": "nan"}, ""),
        (REAL, {**NUMBER, "missing": -1}, "sample 0 holds NaN"),
        (np.where(np.isnan(REAL), -9, abs(REAL)), {**NUMBER, "loss": "sigmoid_bce"}, "write `missing: -9`"),
        (np.where(np.isnan(REAL), -9, abs(REAL)), {**NUMBER, "loss": "sigmoid_bce", "missing": -9}, ""),
        (np.where(np.isnan(REAL), 1e300, REAL), {**NUMBER, "missing": 1e300}, ""),
        (PAIRS, {**PAIR, "missing": "nan"}, ""),
        (PAIRS, {**PAIR, "missing": "nan", "loss": "mxnet.gluon.loss:L2Loss"}, "sample 0 has known and missing labels"),
    ],
)
def test_missing_labels_are_declared(tmp_path, values, keys, said):
    """Undeclared ones are refused, and the message names the remedy; declared ones are left out of all checks."""
    found = check(tmp_path, {"y": values}, {"y": {"missing": np.nan}}, **keys)

    assert said in found
    assert bool(found) == bool(said)


TAGS = np.column_stack([CLASSES % 2, CLASSES // 2]).astype(np.float32)
MULTILABEL = {"loss": "sigmoid_bce", "model": {"name": "mlp", "outputs": 2}, "metrics": ["weighted_f1_macro"]}


@pytest.mark.parametrize(
    ("values", "keys", "said"),
    [
        (TAGS, {}, ""),
        (TAGS / 2, {}, "sample 1 has label 0.5, but metrics of several labels a sample take 0 and 1"),
        (TAGS / 2, {"metrics": ["mse"]}, ""),
        (TAGS + 1, {"loss": "l2", "metrics": ["ranking_loss"]}, "sample 1 has label 2, but metrics"),
        (np.where(TAGS == 1, np.nan, 0), {"missing": "nan"}, ""),
        (np.where(TAGS == 1, -1, 0), {"missing": -1, "metrics": ["f1_macro", "auc_macro"]}, ""),
        (np.where(TAGS == 1, -1, 0), {"loss": "l2", "metrics": ["ranking_loss"]}, "write `missing: -1` beside"),
    ],
)
def test_several_labels_of_metrics_are_0_or_1(tmp_path, values, keys, said):
    """Metrics that count labels refuse probabilities and other numbers; missing labels may have any."""
    found = check(
        tmp_path,
        {"y": values, "w": np.ones(ROWS)},
        {"y": {"missing": np.nan}},
        **{**MULTILABEL, "sample_weights": "rows/w", **keys},
    )

    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("mask", "keys", "said"),
    [
        ((CLASSES + 1) % 2, {}, ""),
        (np.zeros(ROWS, int), {}, "tasks.net.mask: rows/m: the mask is 0 for all labels"),
        (CLASSES, {}, "sample 2 has 2 in the mask; write 1 for a known label and 0 for a missing one"),
        (CLASSES / 4, {}, "in the mask"),
        (np.ones((ROWS, 2), int), {}, "rows/m has samples of shape (2,), but rows/y of shape ()"),
        (CLASSES % 2, {"missing": -1}, "`missing` and `mask` both say which labels are missing; leave one out"),
    ],
)
def test_masks(tmp_path, mask, keys, said):
    """A mask has 0 and 1, for each sample or for each label of one."""
    found = check(tmp_path, {"m": mask}, mask="rows/m", **keys)

    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("weights", "keys", "said"),
    [
        ("balanced", {}, ""),
        ([1, 2, 3], {}, ""),
        ([1, 2], {}, "tasks.net.class_weights: found 2 weights for 3 classes; write one for each"),
        ([0, 0, 0], {}, "all `class_weights` are 0, so that nothing would be learned"),
        ("balanced", {"model": OWN}, ""),
        ([1, 2], {"model": OWN}, "found 2 weights for 3 classes"),
        ("balanced", NUMBER, "l2 trains numbers, which have no classes; leave `class_weights` out"),
        ([1, 2], {**NUMBER, "loss": "sigmoid_bce", "target": "rows/half"}, "no whole number"),
    ],
)
def test_class_weights(tmp_path, weights, keys, said):
    """There is one weight for each class of the network, and labels are classes."""
    found = check(tmp_path, {"half": CLASSES / 2}, class_weights=weights, **keys)

    assert said in found
    assert bool(found) == bool(said)


def test_a_nan_that_another_task_declares_is_refused_here(tmp_path):
    """Two tasks read one array, and one of them alone declares its missing labels: the other is refused."""
    file = tmp_path / "rows.h5"
    x = np.zeros((ROWS, 4), np.float32)
    write_dataset_file(file, {"x": x, "y": REAL}, np.arange(ROWS) % 3, {"y": {"missing": np.nan}})
    task = {"kind": "train", "input": "rows/x", "target": "rows/y", "epochs": 1, **NUMBER}
    tasks = {"one": {**task, "missing": float("nan")}, "two": task}
    prepared = prepare(parse_job({"hpcmtl": 1, "job": "values", "data": {"rows": str(file)}, "tasks": tasks}))
    with pytest.raises(InputError) as raised:
        preflight(prepared, ["one", "two"])

    assert [problem.where for problem in raised.value.problems] == ["job: tasks.two.target"]


def test_negative_weights_are_named_at_their_own_key(tmp_path):
    """One array is input and weights: the problem is that of the weights."""
    found = check(tmp_path, {"n": np.linspace(-1, 1, ROWS)}, input="rows/n", sample_weights="rows/n", model=OWN)

    assert "tasks.net.sample_weights: rows/n: sample 0 has weight -1" in found
    assert "net.input" not in found


def test_labels_of_every_split_count(tmp_path):
    """A wrong label that only the test samples have is found before the training, too."""
    labels = CLASSES.copy()
    labels[5] = 3  # sample 5 is a test sample

    assert "sample 5 has label 3" in check(tmp_path, {"y": labels})


@pytest.mark.parametrize(
    ("labels", "keys", "said"),
    [
        (CLASSES % 2, {"model": {"name": "mlp", "outputs": 1}}, "softmax_ce needs one output a class"),
        (CLASSES % 2, {"model": {**OWN, "outputs": 1}}, "softmax_ce needs one output a class"),
        (CLASSES % 2, {"model": {"name": "mlp", "outputs": 1}, "loss": "sigmoid_bce"}, ""),
        (np.arange(ROWS) % 10, {"model": {"name": "mlp", "outputs": 1}, "loss": "sigmoid_bce"}, "has target 9"),
        (CLASSES - 1.0, {"model": {**OWN, "outputs": 1}, "loss": "sigmoid_bce"}, "has target -1"),
        (CLASSES / 2, {"model": OWN}, "softmax_ce needs one whole number a sample"),
        (CLASSES + 1, {"model": OWN, "loss": "mxnet.gluon.loss:SoftmaxCELoss", "metrics": ["accuracy"]}, "has label 3"),
        (CLASSES / 2, {"model": OWN, "loss": "mxnet.gluon.loss:SoftmaxCELoss"}, "no whole number"),
        (CLASSES - 1, {"model": OWN, "loss": "own_blocks:SoftmaxCELoss"}, ""),
        (np.eye(3)[CLASSES], {"model": OWN}, "softmax_ce needs one whole number a sample"),
        (np.eye(4)[CLASSES], {"model": OWN, "loss": "l2"}, "the network makes samples of shape (3,)"),
    ],
)
def test_targets_that_a_loss_or_a_metric_cannot_use(tmp_path, labels, keys, said):
    """One output for two classes, class numbers under a sigmoid, fractions, one-hot rows, metrics of an own loss."""
    found = check(tmp_path, {"y": labels}, **keys)

    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.linspace(-1, 1, ROWS), "sample 0 has weight -1; sample weights are 0 or more"),
        (np.zeros(ROWS), "all sample weights are 0"),
        (np.linspace(0, 1, ROWS), ""),
        (np.where(CLASSES == 0, 0.99999, 1.00001), ""),
    ],
)
def test_sample_weights(tmp_path, weights, said):
    """Negative weights, and weights that are all 0, are refused; those of balanced classes are nearly equal."""
    found = check(tmp_path, {"w": weights}, sample_weights="rows/w")

    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (2**24 + np.arange(ROWS), "sample 1 holds 16777217, which float32 cannot hold exactly"),
        (1.7e9 + np.arange(ROWS), "merge in float32"),
        (np.full(ROWS, 1e300), "which is Inf in float32"),
        (1e-46 * np.arange(ROWS), "merge in float32"),
        (1.7e9 + 1e6 * np.arange(ROWS), ""),
        (2**24 + 2 * np.arange(ROWS), ""),
        (0.1 + 0.2 * np.arange(ROWS), ""),
    ],
)
def test_numbers_that_float32_cannot_hold(tmp_path, values, said):
    """Whole numbers above 2^24, offsets that hide the differences, overflow and underflow; the remedy is said."""
    keys = {"loss": "l2", "model": {"name": "mlp", "outputs": 1}}
    as_target = check(tmp_path, {"t": values}, target="rows/t", **keys)
    as_input = check(tmp_path, {"v": values[:, np.newaxis]}, input="rows/v")

    for found in (as_target, as_input):
        assert said in found
        assert bool(found) == bool(said)
    assert "merge" not in said or "subtract an offset" in as_target


TABLE = np.random.default_rng(1).normal(size=(ROWS, 10))


@pytest.mark.parametrize(
    ("column", "warned"),
    [
        (101325 + np.linspace(-0.5, 0.5, ROWS), True),
        (0.1 + 1e-7 * TABLE[:, 0], True),
        (np.geomspace(1e-174, 1e-112, ROWS), False),
        (np.full(ROWS, 0.1), False),
    ],
)
def test_one_column_that_float32_merges_beside_others(tmp_path, caplog, column, warned):
    """Pressures and a constant with noise are warned of as inputs, and refused as targets; a far RBF is near 0."""
    values = {"v": np.column_stack([TABLE, column])}
    with caplog.at_level(logging.WARNING, "hpcmtl"):
        assert check(tmp_path, values, input="rows/v") == ""

    said = [text for text in caplog.messages if "merge in float32" in text]
    assert len(said) == warned
    assert not said or "task net: rows/v: values from" in said[0]
    assert not said or "at 1 of 11 positions of a sample: subtract an offset" in said[0]
    as_target = check(tmp_path, values, target="rows/v", loss="l2", model={"name": "mlp", "outputs": 11})
    assert ("merge in float32" in as_target) == warned


def test_two_random_images_are_close_by_chance_at_some_positions(tmp_path, caplog):
    """As inputs and as targets of an autoencoder; nothing is said."""
    images = np.tile(np.random.default_rng(0).random((2, 3, 100, 100)), (ROWS // 2, 1, 1, 1))
    keys = {"input": "rows/v", "target": "rows/w", "loss": "l2"}
    found = check(
        tmp_path, {"v": images, "w": images}, model={"name": "conv_autoencoder", "channels": [2], "code": 2}, **keys
    )

    assert found == ""
    assert "merge" not in caplog.text


def test_a_task_that_has_begun_gets_warnings(tmp_path, caplog):
    """An hpcmtl that checked less may have begun it: it goes on, where a new task is refused."""
    wrong = {"y": CLASSES + 1}

    assert "has label 3" in check(tmp_path, wrong)
    assert check(tmp_path, wrong, begun=["net"]) == ""
    assert "task net has begun and goes on, but rows/y: sample 2 has label 3" in caplog.text


@pytest.mark.parametrize(
    ("scale", "said"),
    [(1 / 255, ""), (-1 / 255, "has target -1, but sigmoid_bce takes 0 to 1"), (1 / 25, "target 10.2")],
)
def test_values_count_as_networks_read_them(tmp_path, scale, said):
    """Masks of 0 to 255 with a `scale` of 1/255 are targets from 0 to 1; other scales are not."""
    keys = {"target": "rows/mask", "loss": "sigmoid_bce", "model": {"name": "mlp", "outputs": 4}}
    mask = np.linspace(0, 255, ROWS * 4).reshape(ROWS, 4).astype(np.uint8)
    found = check(tmp_path, {"mask": mask}, {"mask": {"scale": scale}}, **keys)

    assert said in found
    assert bool(found) == bool(said)


RNN = {"name": "embedding_rnn", "vocabulary": 9, "embedding": 2, "hidden": 2, "outputs": 3}
LOOKUP = {"name": "own_blocks:Lookup", "rows": 9}
TOKENS = np.arange(2 * ROWS).reshape(ROWS, 2) % 9
IDS = TOKENS + 2**24


@pytest.mark.parametrize(
    ("values", "attributes", "keys", "said"),
    [
        (TOKENS, {}, {"model": RNN}, ""),
        (TOKENS + 1, {}, {"model": RNN}, "sample 4 holds 9, but the network takes 0 to 8: number the values again, or"),
        (TOKENS - 1, {}, {"model": RNN}, "sample 0 holds -1, but the network takes 0 to 8"),
        (TOKENS / 1.0, {}, {"model": RNN}, "rows/t has floating point numbers (or a `scale`), but the"),
        (TOKENS, {"scale": 0.5}, {"model": RNN}, "rows/t has floating point numbers (or a `scale`), but the"),
        (TOKENS, {}, {"model": {"name": "mlp", "outputs": 3}}, ""),
        (IDS, {}, {"model": LOOKUP, "loss": "l2"}, "which float32 cannot hold exactly"),
        (IDS, {}, {"model": {**LOOKUP, "input_type": "integer"}, "loss": "l2"}, ""),
        (IDS, {}, {"model": {**LOOKUP, "input_type": "int"}, "loss": "l2"}, "found 'int'; did you mean 'integer'?"),
    ],
)
def test_integers_for_networks_that_take_them(tmp_path, values, attributes, keys, said):
    """Tokens outside the vocabulary and floats are refused; large ids are exact where the network asks for integers."""
    found = check(tmp_path, {"t": values}, {"t": attributes}, input="rows/t", **keys)

    assert said in found
    assert bool(found) == bool(said)
    assert not said or "tasks.net." in found


def test_a_number_that_the_file_marks_as_missing_is_not_learned(tmp_path):
    """A finite number fits any regression: the task has to say, as the file does, that it is a missing label."""
    values = np.where(np.arange(ROWS) % 3 == 1, -999.0, np.arange(ROWS) / ROWS).astype(np.float32)
    attributes = {"y": {"missing": -999.0}}

    assert "sample 1 has -999.0, a missing label by the attribute" in check(
        tmp_path, {"y": values}, attributes, **NUMBER
    )
    assert check(tmp_path, {"y": values}, attributes, **NUMBER, missing=-999) == ""
