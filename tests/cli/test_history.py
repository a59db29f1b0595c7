"""`hpcmtl history` on a run directory."""

import csv
import json

import pytest
from typer.testing import CliRunner

from hpcmtl.cli.verbs import app
from hpcmtl.results.curves.point import TrainingPoint, to_fields
from hpcmtl.results.rundir.directory import create
from hpcmtl.results.strict_json import to_json


@pytest.fixture
def run(tmp_path):
    """A run with the curves of two tasks."""
    directory = create(tmp_path, "job")
    directory.ledger_file.write_text("")
    directory.curves.mkdir()
    for task, count in (("digit", 30), ("joint [a]", 2)):
        points = [
            TrainingPoint(step=s, at=1.7e9 + s, losses={"loss": 1 / s}, learning_rate=0.5) for s in range(1, count)
        ]
        points.append(TrainingPoint(step=count, ends_epoch=True, metrics={"val_accuracy": 0.75}))
        directory.curve_file(task).write_text("".join(to_json(to_fields(point)) + "\n" for point in points))
    return directory


def ask(run, *options):
    """The result of the command."""
    return CliRunner().invoke(app, ["history", str(run.path), *options])


def test_curves_of_all_tasks(run):
    """Every task has a title, and a plot of each loss and metric with its first, last and best value."""
    found = ask(run)

    assert found.exit_code == 0, found.output
    lines = found.output.splitlines()
    assert lines[0] == "digit: 30 steps, epoch 1"
    assert "joint [a]: 2 steps, epoch 1" in lines
    assert any(line.startswith("loss") and "first 1" in line for line in lines)
    assert "best  0.034483 at 29" in found.output
    assert "val_accuracy" in found.output
    assert "learning_rate" not in found.output
    assert max(map(len, lines)) <= 100
    assert "learning_rate" in ask(run, "--all").output


def test_points_as_tables(run, tmp_path):
    """The points of one task are written as CSV, and those of all are printed as JSON."""
    file = tmp_path / "points.csv"
    written, printed = ask(run, "--task", "digit", "--csv", str(file)), ask(run, "--json")
    rows = list(csv.DictReader(file.open()))

    assert (written.exit_code, printed.exit_code) == (0, 0)
    assert len(rows) == 30
    assert (rows[1]["task"], rows[1]["step"], float(rows[1]["loss"])) == ("digit", "2", 0.5)
    assert (rows[-1]["loss"], rows[-1]["val_accuracy"]) == ("", "0.75")
    found = json.loads(printed.stdout)
    assert {task: len(points) for task, points in found.items()} == {"digit": 30, "joint [a]": 2}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--task", "digits"], "--task digits: has no curves; did you mean 'digit'?"),
        (["--csv", "/nowhere/a.csv"], "/nowhere"),
    ],
)
def test_what_is_refused(run, options, words):
    """A task without curves is named with its neighbours, and a folder that is missing is found at once."""
    found = ask(run, *options)

    assert found.exit_code != 0
    assert words in str(found.exception or found.output) + found.output


def test_a_run_without_curves(tmp_path):
    """A run that trained nothing says so."""
    directory = create(tmp_path, "job")
    directory.ledger_file.write_text("")
    found = ask(directory)

    assert "no task has been trained for long enough" in str(found.exception)
