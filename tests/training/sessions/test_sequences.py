"""Samples of different lengths: what a plain script makes of them is what tasks on any number of ranks do."""

from __future__ import annotations

import numpy as np
import pytest

import hpcmtl
from hpcmtl.data import sequences_of
from hpcmtl.data.blocks import epoch_order
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.reader import open_array
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.pipeline.run.preflight import preflight

pytestmark = pytest.mark.slow

SAMPLES, VOCABULARY, CLASSES, BATCH, EPOCHS = 60, 9, 3, 8, 2
RNN = {"name": "embedding_rnn", "vocabulary": VOCABULARY, "embedding": 4, "hidden": 6, "outputs": CLASSES}
FRAMEWORKS = ("torch", "gluon")
SPLIT = np.arange(SAMPLES) % 5 // 3


def words() -> list:
    """Returns samples of 1 to 11 tokens, none of which is 0."""
    generator = np.random.default_rng(3)
    return [generator.integers(1, VOCABULARY, length) for length in generator.integers(1, 12, SAMPLES)]


def tags(word):
    """Returns the label of each token: what it was one token before."""
    return np.concatenate([[0], word[:-1]]) % CLASSES


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of words, a class of each, a tag of each token, some of which are missing, and weights of samples."""
    path = tmp_path_factory.mktemp("sequences") / "words.h5"
    some = [np.where(np.arange(len(each)) % 4 == 2, -1, tags(each)) for each in words()]
    arrays = {
        "word": sequences_of(words()),
        "kind": np.array([each[-1] % CLASSES for each in words()]),
        "tag": sequences_of([tags(each) for each in words()]),
        "some": sequences_of(some),
        "level": sequences_of([levels(number) for number in range(SAMPLES)]),
        "weight": (1 + np.arange(SAMPLES) % 3).astype(np.float32),
        "other": sequences_of(words()[::-1]),
    }
    write_dataset_file(path, arrays, SPLIT, {"some": {"missing": -1}})
    return path


def task(framework, **keys) -> dict:
    """Returns a task that trains."""
    named = {"kind": "train", "framework": framework, "input": "words/word", "epochs": EPOCHS, "model": RNN}
    return {**named, "target": "words/kind", "loss": "softmax_ce", **keys}


TAGGER = {"model": {**RNN, "per_token": True}, "target": "words/tag", "per_token": True, "metrics": ["accuracy"]}


ONE = {"input": "words/word", "target": "words/kind"}


@pytest.fixture
def family(bench, file):
    """Returns a bench of some tasks over the words."""
    engines = {"batch_size": BATCH, "optimizer": {"name": "sgd", "learning_rate": 0.3}, "engine": "mpi"}
    return lambda tasks: bench(tasks, data={"words": str(file)}, defaults=engines)


def initial(family, framework, keys) -> dict:
    """Returns the initial parameters of a task: those after a training with a rate that changes nothing."""
    still = {"optimizer": {"name": "sgd", "learning_rate": 1e-30}}
    made = family({"net": task(framework, **{**keys, "epochs": 1, **still})})
    made.run("net", 1)
    return made.parameters("net")


def plain(parameters, loss_of) -> dict:
    """Trains by a plain loop over the same batches, in which each sample runs alone; returns the parameters."""
    torch = pytest.importorskip("torch")
    module = torch.nn.ModuleDict(
        {
            "body": torch.nn.ModuleDict(
                {"embedding": torch.nn.Embedding(VOCABULARY, 4), "rnn": torch.nn.GRU(4, 6, batch_first=True)}
            ),
            "output": torch.nn.Linear(6, CLASSES),
        }
    )
    module.load_state_dict({name.removeprefix(PARAMETERS): torch.tensor(each) for name, each in parameters.items()})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3)
    train = np.flatnonzero(SPLIT == 0)
    for epoch in range(EPOCHS):
        order = epoch_order(train, SAMPLES, 5, epoch)
        for start in range(0, len(train), BATCH):
            optimizer.zero_grad()
            loss_of(torch, module, order[start : start + BATCH]).backward()
            optimizer.step()
    return {PARAMETERS + name: each.detach().numpy() for name, each in module.state_dict().items()}


def states_of(torch, module, number):
    """Returns the states of a sample that runs alone, (length, hidden)."""
    tokens = torch.tensor(words()[number])[None]
    return module["body"]["rnn"](module["body"]["embedding"](tokens))[0][0]


def mean_loss(torch, module, batch):
    """Returns the mean cross-entropy of samples, by the means of their states."""
    scores = torch.stack([module["output"](states_of(torch, module, number).mean(dim=0)) for number in batch])
    return torch.nn.functional.cross_entropy(scores, torch.tensor([words()[number][-1] % CLASSES for number in batch]))


def token_loss(torch, module, batch, *, weighted=False, partly=False, over_all=False):
    """Returns the mean over tokens of the batch that have a label, or over all; weights of samples are factors."""
    losses, count = [], 0
    for number in batch:
        word = words()[number]
        known = np.arange(len(word)) % 4 != 2 if partly else np.ones(len(word), bool)
        scores = module["output"](states_of(torch, module, number))
        each = torch.nn.functional.cross_entropy(scores, torch.tensor(tags(word)), reduction="none")
        losses.append((each * torch.tensor(known)).sum() * (1 + number % 3 if weighted else 1))
        count += len(known) if over_all else known.sum()
    return sum(losses) / count


def level_loss(torch, module, batch):
    """Returns the mean squared error over all values at tokens, halved."""
    return sum(
        ((module["output"](states_of(torch, module, number)) - torch.tensor(levels(number))) ** 2).sum() / 2
        for number in batch
    ) / sum(levels(number).size for number in batch)


def levels(number):
    """Returns three numbers for each token of a sample."""
    return np.stack([tags(words()[number]) / each for each in (3, 5, 7)], axis=1).astype(np.float32)


CASES = {
    "one label a sample": ({}, mean_loss),
    "a label a token": (TAGGER, token_loss),
    "buckets": ({**TAGGER, "buckets": [2, 6]}, token_loss),
    "missing labels and weights": (
        {**TAGGER, "target": "words/some", "missing": -1, "sample_weights": "words/weight"},
        lambda *given: token_loss(*given, weighted=True, partly=True),
    ),
    "means over the batch": (
        {**TAGGER, "target": "words/some", "missing": -1, "mean_over": "batch"},
        lambda *given: token_loss(*given, partly=True, over_all=True),
    ),
    "numbers": ({**TAGGER, "target": "words/level", "loss": "l2", "metrics": ["mse"]}, level_loss),
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("case", CASES)
def test_a_plain_loop_on_any_number_of_ranks(family, framework, case):
    """One, two and three ranks make the steps of a plain loop over samples without padding."""
    keys, loss_of = CASES[case]
    expected = plain(initial(family, framework, keys), loss_of)
    for ranks in (1, 2, 3):
        made = family({"net": task(framework, **keys)})
        made.run("net", ranks)
        found = made.parameters("net")

        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("keys", [{"pooling": "mean"}, {"pooling": "last", "cell": "lstm"}, {"per_token": True}])
def test_padding_changes_no_output(family, framework, keys):
    """A sample alone has the outputs that it has padded among long ones, in both frameworks."""
    model = {**RNN, **keys}
    given = {**TAGGER, "model": model} if "per_token" in keys else {"model": model}
    made = family({"net": task(framework, **given, epochs=1)})
    made.run("net", 1)
    network = hpcmtl.load(made.artifact("net")).network
    padded = sequences_of(words()).padded()
    together = network.outputs(padded)["main"]

    for number, word in enumerate(words()[:12]):
        alone = network.outputs(word[None])["main"][0]
        kept = together[number, : len(word)] if "per_token" in keys else together[number]
        np.testing.assert_allclose(alone, kept, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_kind_of_task_reads_sequences(family, framework):
    """Predictions and features of tokens are sequences again, and metrics count tokens; ranks change nothing."""
    needs = {"net": "parameters"}
    tasks = {
        "net": task(framework, **TAGGER),
        "scores": {"kind": "predict", "needs": needs},
        "code": {"kind": "extract", "needs": needs, "output": "body"},
        "test": {"kind": "evaluate", "needs": needs, "split": "val"},
    }
    made = family(tasks)
    (trained,) = made.run("net", 2)
    for name in ("scores", "code"):
        made.run(name, 3)
    reports = [made.run("test", ranks)[0].metrics["accuracy"] for ranks in (1, 3)]
    network = hpcmtl.load(made.artifact("net")).network
    right = []
    for name, part in (("scores", None), ("code", "body")):
        key = "values" if part else "main"
        with open_array(made.artifact(name), key) as reader:
            rows = reader.exact()
        for number, word in enumerate(words()):
            alone = network.outputs(word[None], part)[key][0]
            np.testing.assert_allclose(rows[number, : len(word)], alone, rtol=1e-5, atol=1e-5)
            assert not rows[number, len(word) :].any()
            if part is None and SPLIT[number] == 1:
                right += (alone.argmax(axis=1) == tags(word)).tolist()

    assert reports == [pytest.approx(np.mean(right)), pytest.approx(np.mean(right))]
    assert trained.metrics["val_accuracy"] == pytest.approx(np.mean(right))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {**TAGGER, "target": "words/other"},
            f"{len(words()[-1])} labels, but {len(words()[0])} tokens",
        ),
        ({"target": "words/tag"}, "write `per_token: true`"),
        ({"per_token": True}, "has one label a sample; leave `per_token` out"),
        ({**TAGGER, "model": RNN}, "one for each token"),
        ({**TAGGER, "loss": "torch.nn:CrossEntropyLoss"}, "use a loss by its name"),
        ({"transform": "noise"}, "transform"),
        (
            {"input": None, "target": None, "sources": {"one": ONE, "two": ONE}, "mixture": {}},
            "sequences of different lengths are not mixed",
        ),
    ],
)
def test_refusals(family, keys, said):
    """Arrays that do not belong together are refused before anything is trained, with the remedy."""
    pytest.importorskip("torch")
    with pytest.raises(InputError, match=said):
        preflight(family({"net": task("torch", **keys)}).prepared, ["net"])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_heads_of_tokens_on_a_trunk_of_tokens(family, framework):
    """Two heads for each token on the states of a recurrent trunk; a change of ranks between layers changes nothing."""
    head = {"model": {"name": "mlp", "outputs": CLASSES, "per_token": True}, "per_token": True, "loss": "softmax_ce"}
    heads = {
        "tag": {**head, "target": "words/tag", "metrics": ["accuracy", "weighted_accuracy"]},
        "some": {**head, "target": "words/some", "missing": -1, "class_weights": [1, 2, 0.5]},
    }
    both = {"kind": "joint", "needs": {"net": "parameters"}, "trunk": {"from": "net", "part": "body"}, "heads": heads}
    keys = {"framework": framework, "input": "words/word", "epochs": 6, "sample_weights": "words/weight"}
    tasks = {"net": task(framework, **TAGGER), "both": {**both, **keys}}
    whole, layered = family(tasks), family(tasks)
    for made in (whole, layered):
        made.run("net", 1)
    (outcome,) = whole.run("both", 1)
    layered.run_by_layers("both", [3, 1, 2])

    assert outcome.metrics["tag.val_accuracy"] > 0.45
    assert 0 < outcome.metrics["tag.val_weighted_accuracy"] != outcome.metrics["tag.val_accuracy"]
    for name, array in whole.parameters("both").items():
        np.testing.assert_allclose(layered.parameters("both")[name], array, rtol=1e-4, atol=1e-5)


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module with a network that takes tokens and lengths, where 0 is a token as any other."""
    (tmp_path / "length_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)


NETS = """
import torch

class Packed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = torch.nn.Embedding(9, 4), torch.nn.LSTM(4, 3, batch_first=True, bidirectional=True)
        self.output = torch.nn.Linear(6, 3)

    def forward(self, tokens, lengths):
        packing = {"batch_first": True, "enforce_sorted": False}
        packed = torch.nn.utils.rnn.pack_padded_sequence(self.embedding(tokens), lengths.cpu(), **packing)
        states, _ = self.rnn(packed)
        states, _ = torch.nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=tokens.shape[1])
        return self.output(states)
"""


def test_own_networks_get_lengths(family, nets):
    """A bidirectional network over packed sequences gets tokens and lengths by name; its outputs are those alone."""
    integers = {"tokens": "integer", "lengths": "integer"}
    model = {"name": "length_nets:Packed", "input_type": integers}
    given = {"input": {"tokens": "words/word", "lengths": "words/word_length"}, "model": model}
    tasks = {"net": task("torch", **TAGGER | given), "scores": {"kind": "predict", "needs": {"net": "parameters"}}}
    found = []
    for ranks in (1, 3):
        made = family(tasks)
        preflight(made.prepared, ["net"])
        made.run("net", ranks)
        made.run("scores", ranks)
        found.append(made.parameters("net"))
    network = hpcmtl.load(made.artifact("net")).network
    with open_array(made.artifact("scores"), "main") as reader:
        rows = reader.exact()
    for number, word in enumerate(words()[:9]):
        alone = network.outputs({"tokens": word[None], "lengths": np.array([len(word)])})["main"][0]
        np.testing.assert_allclose(rows[number, : len(word)], alone, rtol=1e-5, atol=1e-6)

    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, rtol=1e-5, atol=1e-5)
