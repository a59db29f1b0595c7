"""A run by mpirun on words that `data seal` made tokens of, in both frameworks, on one rank and on two."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import family

import hpcmtl
from hpcmtl.data import seal
from hpcmtl.data.reader import open_array

pytest.importorskip("torch")
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

RNN = {"name": "embedding_rnn", "vocabulary": 9, "embedding": 8, "hidden": 16, "outputs": 3}
NET = {"kind": "train", "input": "words/word", "target": "words/ending", "loss": "softmax_ce", "metrics": ["accuracy"]}
ENDING = {**NET, "epochs": 8, "optimizer": {"name": "adam", "learning_rate": 0.02}}
TASKS = {
    "torch": {**ENDING, "framework": "torch", "model": {**RNN, "pooling": "last"}, "ranks": 2},
    "torch_alone": {**ENDING, "framework": "torch", "model": {**RNN, "pooling": "last"}, "ranks": 1},
    "gluon": {**ENDING, "model": {**RNN, "cell": "lstm", "pooling": "last"}, "ranks": 2},
    "scores": {"kind": "predict", "needs": {"torch": "parameters"}},
    "test": {"kind": "evaluate", "needs": {"gluon": "parameters"}, "metrics": ["accuracy"]},
}


def test_the_last_letter_is_learned(start, tmp_path):
    """Recurrent networks find the class of the last of up to 9 letters; a loaded one repeats its outputs."""
    generator = np.random.default_rng(5)
    words = ["".join(generator.choice(list("abcdefg"), generator.integers(2, 10))) for _ in range(900)]
    table = {"word": np.array(words), "ending": np.array([f"class {'abcdefg'.index(word[-1]) % 3}" for word in words])}
    kinds = {"word": {"kind": "tokens", "by": "characters", "length": 9}, "ending": "categorical"}
    seal(tmp_path / "words.h5", table, {"columns": kinds, "targets": ["ending"]})
    run = start(family(ranks=3, data={"words": str(tmp_path / "words.h5")}, tasks=TASKS)).finish(300)
    tasks = run.results["tasks"]

    assert run.returncode == 0, run.said
    assert {name: task["status"] for name, task in tasks.items()} == dict.fromkeys(TASKS, "complete")
    majority = np.unique(table["ending"], return_counts=True)[1].max() / len(words)
    found = {name: task["metrics"] for name, task in tasks.items() if name != "scores"}
    assert all(
        max(each.get(key, 0) for key in ("accuracy", "val_accuracy")) > majority + 0.3 for each in found.values()
    )
    with open_array(tmp_path / "words.h5", "word") as reader:
        outputs = hpcmtl.load(run.directory / "artifacts/torch.h5").network.outputs(reader.exact())
    np.testing.assert_allclose(run.arrays("scores")["main"], outputs["main"], rtol=1e-5, atol=1e-5)
