"""Tokens are learned by recurrent networks in both frameworks, and every kind of task reads them as integers."""

from __future__ import annotations

import numpy as np
import pytest

import hpcmtl
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError

pytestmark = pytest.mark.slow

SAMPLES, LENGTH, VOCABULARY = 120, 6, 9
RNN = {"name": "embedding_rnn", "vocabulary": VOCABULARY, "embedding": 4, "hidden": 8, "outputs": 3}
KINDS = {"torch": {"cell": "gru", "pooling": "last"}, "gluon": {"cell": "lstm", "pooling": "mean"}}
BATCH = 9


def tokens():
    """Rows of tokens with padding behind them; the class is known from the last one, which all of them repeat."""
    generator = np.random.default_rng(3)
    words, lengths = generator.integers(1, VOCABULARY, SAMPLES), generator.integers(2, LENGTH + 1, SAMPLES)
    rows = np.where(np.arange(LENGTH) < lengths[:, None], words[:, None], 0)
    return {"word": rows.astype(np.uint16), "kind": words % 3}


@pytest.fixture(scope="module")
def made(bench, tmp_path_factory):
    """Makes a bench of a network of each framework, and of each kind of task that runs it."""
    pytest.importorskip("torch")
    file = tmp_path_factory.mktemp("words") / "words.h5"
    write_dataset_file(file, tokens(), np.arange(SAMPLES) % 4 // 2 * (1 + np.arange(SAMPLES) % 2))
    tasks = {}
    for framework, keys in KINDS.items():
        net = {"kind": "train", "framework": framework, "model": {**RNN, **keys}, "input": "words/word", "epochs": 12}
        tasks[framework] = {**net, "target": "words/kind", "loss": "softmax_ce", "metrics": ["accuracy"]}
        tasks[f"{framework}_code"] = {"kind": "extract", "needs": {framework: "parameters"}, "output": "body"}
        tasks[f"{framework}_scores"] = {"kind": "predict", "needs": {framework: "parameters"}}
        tasks[f"{framework}_test"] = {"kind": "evaluate", "needs": {framework: "parameters"}, "metrics": ["accuracy"]}
    optimizer = {"name": "adam", "learning_rate": 0.03}
    engines = {"batch_size": BATCH, "optimizer": optimizer, "engine": "mpi"}
    return lambda: bench(tasks, data={"words": str(file)}, defaults=engines)


@pytest.mark.parametrize("framework", KINDS)
def test_tokens_are_learned_and_read_by_every_kind(made, framework):
    """Two ranks learn the classes; prediction, extraction, evaluation and `hpcmtl.load` agree on integers."""
    family = made()
    family.run(framework, 2)
    *_, (report,) = (family.run(f"{framework}_{kind}", 2) for kind in ("code", "scores", "test"))
    arrays = tokens()
    network = hpcmtl.load(family.artifact(framework)).network
    outputs = network.outputs(arrays["word"])["main"]
    chosen = hpcmtl.load(family.artifact(f"{framework}_scores")).arrays["main"]
    test = np.arange(SAMPLES) % 4 == 3
    right = (outputs[test].argmax(axis=1) == arrays["kind"][test]).mean()

    assert right > 1.5 * np.bincount(arrays["kind"][test]).max() / test.sum()
    assert report.metrics["accuracy"] == pytest.approx(right)
    np.testing.assert_allclose(chosen, outputs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        hpcmtl.load(family.artifact(f"{framework}_code")).arrays["values"],
        network.outputs(arrays["word"].astype(np.int64), "body")["values"],
        rtol=1e-5,
        atol=1e-5,
    )
    for other, said in (
        (arrays["word"] / 1.0, "has values of type float64"),
        (arrays["word"] + VOCABULARY, "sample 0 holds"),
    ):
        with pytest.raises(InputError, match=said):
            network.outputs(other)


@pytest.mark.parametrize("framework", KINDS)
def test_the_number_of_ranks_changes_nothing(made, framework):
    """Parameters after a training on one rank are those of two ranks, within rounding."""
    found = []
    for ranks in (1, 2):
        family = made()
        family.run(framework, ranks)
        found.append(family.parameters(framework))

    assert found[0].keys() == found[1].keys()
    for name, array in found[0].items():
        np.testing.assert_allclose(array, found[1][name], rtol=1e-3, atol=1e-3)
