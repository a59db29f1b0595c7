"""Training with a sampler: the epochs of plain numpy, on any number of ranks, also resumed on others."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import PARAMETERS

SAMPLES, TRAIN, BATCH, SEED = 61, 40, 9, 5


def arrays():
    """Samples whose classes are rare and frequent, some of them missing, and a weight each."""
    generator = np.random.default_rng(4)
    x = generator.normal(size=(SAMPLES, 6)).astype(np.float32)
    y = generator.choice(3, SAMPLES, p=[0.7, 0.2, 0.1])
    y[:6] = [0, 1, 1, 2, 2, -1]
    rare = np.where(y == 2, 1.0, 0.0)
    return {"x": x, "y": y, "rare": rare, "z": x[:, :1] * 2}


@pytest.fixture(scope="module")
def made(bench, tmp_path_factory):
    """Make a bench for the given sampler on the file of these arrays."""
    file = tmp_path_factory.mktemp("samplers") / "rows.h5"
    write_dataset_file(file, arrays(), np.where(np.arange(SAMPLES) < TRAIN, 0, 1))
    defaults = {"batch_size": BATCH, "optimizer": {"name": "sgd", "learning_rate": 0.05}, "engine": "mpi"}
    net = {
        "kind": "train",
        "framework": "torch",
        "model": {"name": "mlp", "outputs": 3},
        "input": "rows/x",
        "epochs": 3,
    }
    net |= {"target": "rows/y", "missing": -1, "loss": "softmax_ce"}

    def make(sampler, **changes):
        pytest.importorskip("torch")
        return bench(
            {"net": {**net, "sampler": sampler, **changes}}, data={"rows": str(file)}, defaults=defaults, seed=SEED
        )

    return make


SAMPLERS = [
    {"how": "balanced", "samples": 31},
    {"how": "weighted", "weights": "rows/rare", "samples": 20},
    {"how": "k_shot", "k": 2},
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda each: each["how"])
def test_any_ranks_train_alike(made, sampler):
    """One rank, two, and three layers on 2, 1 and 3 ranks end with the same weights within rounding."""
    done = made(sampler)
    found = []
    for run in (lambda: done.run("net"), lambda: done.run("net", 2)):
        run()
        found.append(done.parameters("net"))
    other = made(sampler)
    other.run_by_layers("net", (2, 1, 3))
    found.append(other.parameters("net"))

    for each in found[1:]:
        assert max(np.abs(each[name] - found[0][name]).max() for name in each) <= 1e-6


def test_the_steps_are_those_of_the_epochs(made):
    """An epoch has its samples, not those of the split: 31 in steps of 9, or 2 of each of 3 classes in one step."""
    steps = [sum(each.steps for each in made(sampler).run("net")) for sampler in SAMPLERS]

    assert steps == [3 * 4, 3 * 3, 3 * 1]


def test_only_the_chosen_samples_are_trained_on(made):
    """With weights for the rare class alone, the two other outputs get gradients of one sign: a plain script agrees."""
    torch = pytest.importorskip("torch")
    from hpcmtl.data.blocks import epoch_order
    from hpcmtl.data.samplers import WeightedSampler

    tiny = made(SAMPLERS[1], optimizer={"name": "sgd", "learning_rate": 1e-30})
    tiny.run("net")
    start = {name.removeprefix(PARAMETERS): array for name, array in tiny.parameters("net").items()}
    data, weights = arrays(), {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=0.05)
    for epoch in range(3):
        places = WeightedSampler(np.cumsum(data["rare"][:TRAIN]), 20).places(SEED, epoch)
        assert set(data["y"][places]) == {2}
        copies = np.arange(20) - np.searchsorted(places, places)
        order = epoch_order(places, SAMPLES, SEED, epoch, copies)
        for rows in np.split(order, range(BATCH, 20, BATCH)):
            made_ = torch.nn.functional.linear(
                torch.tensor(data["x"][rows]), weights["output.weight"], weights["output.bias"]
            )
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(made_, torch.tensor(data["y"][rows])).backward()
            optimizer.step()
    done = made(SAMPLERS[1])
    done.run("net", 2)
    found = {name.removeprefix(PARAMETERS): array for name, array in done.parameters("net").items()}

    assert max(np.abs(found[name] - weights[name].detach().numpy()).max() for name in found) <= 1e-6


def test_too_few_samples_of_a_class_are_refused(made):
    """The first class with too few train samples is named before the first step, on all ranks."""
    with pytest.raises(RankFailedError) as raised:
        made({"how": "k_shot", "k": 20}).run("net", 2)

    said = str(raised.value.__cause__)
    assert re.search(r"rows.h5: y: class 1 has \d+ train samples, fewer than `k: 20`; write a smaller `k`", said)
