"""Comparison of runs."""

import statistics

import pytest

from hpcmtl.errors import InputError
from hpcmtl.results import events
from hpcmtl.results.comparison import ComparedRun, compare, compared_run, ordered
from hpcmtl.results.run_state import RunState


def run(name, seed=0, rate=0.1, **measured):
    """Returns a run with two settings."""
    settings = {"ranks": 2, "seed": seed, "tasks.a.optimizer.learning_rate": rate}
    return ComparedRun(name=name, status="complete", settings=settings, measured=measured)


RUNS = (
    run("r0", 0, 0.1, accuracy=0.7, seconds=3.0),
    run("r1", 1, 0.1, accuracy=0.9, seconds=5.0),
    run("r2", 0, 0.2, accuracy=0.5, seconds=4.0),
    run("r3", 1, 0.2, seconds=6.0),
)
RATE = "tasks.a.optimizer.learning_rate"


def test_settings_that_differ_are_shown_alone():
    """A setting that all runs have alike is left out, and measured times come last."""
    found = compare(RUNS)

    assert found.settings == ("seed", RATE)
    assert found.measurements == ("accuracy", "seconds")
    assert [row.names for row in found.rows] == [("r0",), ("r1",), ("r2",), ("r3",)]


def test_mean_and_spread_over_seeds_are_those_of_statistics():
    """Runs that differ in their seed alone become one row; one that lacks a metric is not counted for it."""
    one, two = compare(RUNS, ["seed"]).rows

    assert one.names == ("r0", "r1")
    assert one.measured["accuracy"].mean == pytest.approx(0.8)
    assert one.measured["accuracy"].deviation == pytest.approx(statistics.stdev([0.7, 0.9]))
    assert (two.measured["accuracy"].count, two.measured["accuracy"].deviation) == (1, None)
    assert two.measured["seconds"].count == 2


def test_rows_are_sorted_and_those_without_the_metric_come_last():
    """The best comes first: the largest accuracy, and the fewest seconds; runs without the metric come last."""
    found = compare(RUNS)

    assert [row.names[0] for row in ordered(found, "accuracy").rows] == ["r1", "r0", "r2", "r3"]
    assert [row.names[0] for row in ordered(found, "seconds").rows] == ["r0", "r2", "r1", "r3"]
    assert [row.names[0] for row in ordered(found, RATE).rows] == ["r0", "r1", "r2", "r3"]


def test_a_name_that_no_run_has_is_told_with_its_neighbour():
    """A metric and a setting that are not there are refused."""
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        ordered(compare(RUNS), "acuracy")
    with pytest.raises(InputError, match="the runs do not differ in it"):
        compare(RUNS, ["ranks"])


def test_a_run_is_measured_over_all_its_attempts():
    """Seconds are those of both attempts without the time between them, and rank-seconds those of all layers."""
    state = RunState()
    for number, start in ((1, 100.0), (2, 500.0)):
        state.take(events.JobStarted(job="j", ranks=2, attempt=number), start)
        state.take(events.LayerStarted(task="a", layer=number - 1, ranks=2, first_rank=0, layers=2), start + 1)
        state.take(layer_ended(number - 1), start + 5)
        if number == 1:
            state.take(events.JobEnded(status="stopped"), start + 6)
    state.take(events.TaskEnded(task="a", status="complete"), 506.0)
    state.take(events.JobEnded(status="complete"), 507.0)
    found = compared_run("r", {"job": "j", "tasks": {"a": {"epochs": 3, "metrics": ["x", "y"]}}}, state)

    assert found.measured == {"a.accuracy": 0.5, "seconds": 13.0, "rank_seconds": 16.0}
    assert found.settings == {"tasks.a.epochs": 3, "tasks.a.metrics": ["x", "y"]}


def layer_ended(layer):
    """Returns the end of a layer of 4 s on 2 ranks."""
    return events.LayerEnded(
        task="a", layer=layer, ranks=2, steps=3, rows=1, step_seconds=1.0, seconds=4.0, metrics={"accuracy": 0.5}
    )
