"""A run is read from its directory alone: before its first attempt, while it runs, and after its end."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from events import event
from plans import SMALL_PLAN

import hpcmtl
from hpcmtl.client.predictions import rows_by_split
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sequences import Sequences
from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import create, write_json_atomically


class Texts(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        """Keeps a tag."""
        self.tags.add(tag)

    def handle_data(self, data):
        """Keeps a text."""
        self.texts.append(data)


def note(directory, name, **fields):
    """Adds an event to the ledger."""
    with Ledger(directory.ledger_file) as ledger:
        ledger.append(event(name, **fields))


@pytest.fixture
def directory(tmp_path):
    """A run whose attempt has not begun."""
    made = create(tmp_path / "runs", "small")
    write_json_atomically(made.plan_file, SMALL_PLAN)
    return made


def test_a_run_is_followed(directory, tmp_path):
    """The same object shows the newest state: what has ended, what runs, and metrics of layers that were run."""
    run = hpcmtl.client.open("small", tmp_path / "runs")
    before = [run.status, run.attempt, *(task.status for task in run.tasks)]
    note(directory, "job_started", job="small", ranks=4, policy="variable", host="h", attempt=1)
    note(directory, "layer_started", task="a", layer=0, layers=2, first_rank=0, ranks=2)
    note(directory, "layer_ended", task="a", layer=0, ranks=2, steps=3, seconds=1.5, metrics={"loss": 0.5})
    note(directory, "layer_started", task="a", layer=1, layers=2, first_rank=0, ranks=2)

    assert before == ["preparing", 0, *["waiting"] * len(run.tasks)]
    assert (run.tasks["a"].status, run.tasks["a"].metrics, run.tasks[0].steps) == ("running", {"loss": 0.5}, 3)
    assert (run.tasks["a"].ranks, run.tasks["a"].seconds, run.attempt, len(run["a"].history)) == ((2,), 1.5, 1, 0)
    assert "a" in run.tasks
    assert "z" not in run.tasks
    assert [task.name for task in run.tasks[1:]] == list(run.tasks.names[1:])


def test_a_wrong_name_is_told_with_the_right_ones(directory, tmp_path):
    """Runs and tasks that are not there are refused with those that are."""
    run = hpcmtl.client.open(directory.path)

    with pytest.raises(KeyError, match="valid here: a"):
        run.tasks["zzz"]
    with pytest.raises(InputError, match="no such task"):
        run.logs(task="zzz")
    with pytest.raises(InputError, match="no run of that name"):
        hpcmtl.client.open("other", tmp_path / "runs")
    with pytest.raises(InputError, match="has no artifact"):
        _ = run.tasks["a"].artifact


def test_a_table_for_notebooks_is_escaped(directory):
    """Names and statuses are text for the browser, whatever they contain."""
    plan = {**SMALL_PLAN, "tasks": [{**task} for task in SMALL_PLAN["tasks"]]}
    plan["tasks"][0]["name"] = "<script>alert(1)</script>&"
    write_json_atomically(directory.plan_file, plan)
    page = Texts()
    page.feed(hpcmtl.client.open(directory.path)._repr_html_())

    assert "script" not in page.tags
    assert "<script>alert(1)</script>&" in page.texts
    assert {"table", "tr", "td"} <= page.tags


def test_a_rank_starts_no_others(directory, monkeypatch):
    """Inside MPI a run cannot be resumed by a call, which would start a launcher under a launcher."""
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    with pytest.raises(EnvironmentUnfitError, match="this process is an MPI rank"):
        hpcmtl.client.open(directory.path).resume()


def test_sequences_are_dealt_to_splits_too(tmp_path):
    """Outputs for each token come as one array with padding, as `hpcmtl.load` gives them."""
    file, lengths = tmp_path / "tokens.h5", np.array([1, 3, 2])
    values = Sequences(np.arange(6, dtype=np.float32), np.array([0, 1, 4, 6]))
    write_dataset_file(file, {"main": values}, np.array([0, 0, 2], np.uint8))
    found = rows_by_split(hpcmtl.load(file).arrays)

    assert list(found) == ["train", "test"]
    assert [list(row[:n]) for row, n in zip(found["train"]["main"], lengths[:2], strict=True)] == [[0], [1, 2, 3]]
