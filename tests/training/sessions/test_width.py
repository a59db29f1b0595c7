"""Dependence on the number of ranks is resumable, and is told; replicas that part fail their task."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl import faults
from hpcmtl.communicators.inproc import RankFailedError
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import read_sealed
from hpcmtl.training.divergence import ReplicasDifferError
from hpcmtl.training.sessions.skipped_steps import NothingTrainedError

pytestmark = pytest.mark.slow

NORMALISED = {"model": {"name": "own_blocks:normalised"}}
DROPPING = {"model": {"name": "mlp", "widths": [16], "outputs": 3, "dropout": 0.5}}


def failure(run):
    """The error that all ranks of a run have, by which the replicas differ."""
    with pytest.raises(RankFailedError) as failed:
        run()
    assert isinstance(failed.value.__cause__, ReplicasDifferError)
    return str(failed.value.__cause__)


def test_a_flipped_bit_of_a_weight_fails_the_task(bench, task, tmp_path):
    """A bit that flips on one rank is found at the next validation; no state with it is written."""
    done = bench({"digit": task()}, layers=2)
    done.run("digit", 2, [0])
    faults.arm(faults.requested({"HPCMTL_FAULT": "flip:task=digit,layer=1,step=2"}), tmp_path, rank=0)
    try:
        said = failure(lambda: done.run("digit", 2, [1]))
    finally:
        faults.disarm()
    newest = done.checkpoints("digit")[-1]
    again = done.run("digit", 2, [1])[0]

    assert said.startswith("task digit, validation after epoch 2: the ranks have different values of parameters/")
    assert newest.name == "step-0000000010.h5"
    assert again.steps == 10


@pytest.mark.parametrize("name", ["Uneven", "Scheduled"])
def test_an_optimizer_that_depends_on_the_rank_fails_the_task(bench, task, name):
    """Without validation it is found at the first checkpoint, also where a schedule parts the ranks late in a layer."""
    optimizer = {"name": f"own_blocks:{name}", "learning_rate": 0.01}
    done = bench({"digit": task(metrics=[], optimizer=optimizer)})
    said = failure(lambda: done.run("digit", 2))

    assert "checkpoint after step 20: the ranks have different values of parameters/body.0." in said
    assert "depends on the rank" in said
    assert done.checkpoints("digit") == []


def test_a_validation_is_of_what_is_sealed(bench, task):
    """With batch normalisation the metrics of the last validation are those of the artifact, at any width."""
    tasks = {
        "digit": task(**NORMALISED, epochs=2, batch_size=7, metrics=["log_loss"]),
        "report": {"kind": "evaluate", "needs": {"digit": "parameters"}, "split": "val", "metrics": ["log_loss"]},
    }
    done = bench(tasks)
    validated = done.run("digit", 3)[-1].metrics["val_log_loss"]
    sealed = done.run("report", 1)[-1].metrics["log_loss"]

    assert validated == pytest.approx(sealed, rel=1e-5)


@pytest.mark.parametrize("network", [DROPPING, NORMALISED], ids=["dropout", "batch normalisation"])
def test_a_stop_inside_a_layer_changes_no_bit(bench, task, network):
    """Masks and statistics of a training that was stopped and resumed at the same width are those without a stop."""
    ranks = 1 if network is DROPPING else 3  # threads of one process share MXNet's random numbers
    whole, pieces = bench({"digit": task(**network)}), bench({"digit": task(**network)})
    whole.run("digit", ranks)
    stopped = pieces.run("digit", ranks, stop_requested=lambda: True)[0]
    pieces.run("digit", ranks)
    one, other = pieces.parameters("digit"), whole.parameters("digit")

    assert stopped.stopped
    assert 0 < stopped.steps < 20
    assert all(np.array_equal(one[name], other[name]) for name in other)


def test_coupled_rows_are_told_once(bench, task):
    """A loss that couples the rows of its batch is said at the first group of several ranks, and not again."""
    told = []
    done = bench({"digit": task(loss="own_faults:CentredLoss")}, layers=4)
    for layer, ranks in enumerate((1, 2, 3, 1)):
        done.run("digit", ranks, [layer], record=lambda event, ranks=ranks: told.append((ranks, event)))
    notes = [(ranks, event.text) for ranks, event in told if event.name == "task_noted"]

    assert [ranks for ranks, _ in notes] == [2]
    assert "from other rows of the batch" in notes[0][1]


def test_the_loss_does_not_depend_on_layers(bench, task):
    """The mean over the last epoch's samples is that of one layer, wherever the layers end and whoever trains them."""
    losses = []
    for layers in (1, 3, 6):
        done = bench({"digit": task(epochs=2)}, layers=layers)
        outcomes = [done.run("digit", 1 + layer % 2, [layer])[-1] for layer in range(layers)]
        losses.append(outcomes[-1].metrics["loss"])

    assert losses == [pytest.approx(losses[0], rel=1e-5)] * 3


def test_random_numbers_are_told_once(bench, task):
    """The first group of several ranks says that a network draws random numbers; a task of one rank does not."""
    told = []
    done = bench({"digit": task(**DROPPING, epochs=1), "alone": task(**DROPPING, epochs=1)}, layers=2)
    for layer, ranks in enumerate((2, 3)):
        done.run("digit", ranks, [layer], record=told.append)
    done.run("alone", record=told.append)
    notes = [event for event in told if event.name == "task_noted"]

    assert [note.task for note in notes] == ["digit"]
    assert "draws random numbers (dropout), or has code" in notes[0].text


def test_notes_are_told_once(bench, task):
    """The first group of several ranks says what depends on its width; later layers and sessions do not repeat it."""
    told = []
    done = bench({"digit": task(**NORMALISED), "plain": task()}, layers=4)
    for layer, ranks in enumerate((1, 2, 3, 2)):
        done.run("digit", ranks, [layer], record=told.append)
        done.run("plain", ranks, [layer], record=told.append)
    notes = [event for event in told if event.name == "task_noted"]
    facts = read_sealed(done.checkpoints("digit")[-1])[1]

    assert [note.task for note in notes] == ["digit"]
    assert "(4 of a batch of 9, too few for reliable statistics" in notes[0].text
    assert notes[0].text.endswith("see docs/guides/number_of_ranks.md")
    assert facts["noted"] == ["batch statistics"]


def test_steps_that_fp16_cannot_hold_are_told(bench, task, tmp_path):
    """Skipped steps are told once, and counted over sessions; where no step made an update the task fails."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(64, 4)).astype(np.float32)
    file, told = tmp_path / "large.h5", []
    targets = {"large": values @ [3e3, -2e3, 1e3, 5e2], "huge": values @ [3e12, -2e12, 1e12, 5e11]}
    arrays = {"x": values, **{name: each.astype(np.float32)[:, None] for name, each in targets.items()}}
    write_dataset_file(file, arrays, np.zeros(64, np.uint8))
    common = {"model": {"name": "mlp", "outputs": 1}, "input": "d/x", "loss": "l2", "metrics": [], "batch_size": 64}
    optimizer = {"name": "sgd", "learning_rate": 0.1}
    tasks = {
        name: task(**common, target=f"d/{name}", epochs=12, optimizer=optimizer, compression="fp16") for name in targets
    }
    done = bench(tasks, layers=3, data={"d": str(file)})
    for layer, ranks in enumerate((2, 3, 2)):
        done.run("large", ranks, [layer], record=told.append)
    skipped = read_sealed(done.checkpoints("large")[-1])[1]["skipped_steps"]
    with pytest.raises(RankFailedError) as failed:
        done.run("huge", 2)
    notes = [event.text for event in told if event.name == "task_noted"]

    assert 4 < skipped < 12
    assert [note.partition(":")[0] for note in notes] == [
        "4 of its first 4 steps made no update",
        f"{skipped} of its 12 steps made no update",
    ]
    assert isinstance(failed.value.__cause__, NothingTrainedError)
    assert "none of its 12 steps made an update" in str(failed.value.__cause__)
