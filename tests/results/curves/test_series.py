"""Series from points: what was measured, by step."""

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.curves.series import Series, series_of
from hpcmtl.results.curves.table import rows_of

STEP = TrainingPoint(
    step=10,
    at=1.7e9,
    losses={"a.loss": 2.0},
    learning_rate=0.1,
    gradient_norm=3.0,
    weights={"a": 0.25, "b": 0.75},
    cosines=((1.0, -0.5), (-0.5, 1.0)),
)
END = TrainingPoint(step=10, ends_epoch=True, losses={"a.loss": 4.0}, metrics={"a.val_f1": 0.5, "a.val_auc": None})


def test_series_by_name():
    """Losses come from the points between steps, metrics from the ends of epochs; a metric without a value has none."""
    found = series_of([STEP, END])

    assert {name: (list(each.steps), list(each.values)) for name, each in found.items()} == {
        "a.loss": ([10], [2.0]),
        "a.val_f1": ([10], [0.5]),
        "learning_rate": ([10], [0.1]),
        "gradient_norm": ([10], [3.0]),
        "weight.a": ([10], [0.25]),
        "weight.b": ([10], [0.75]),
        "cosine.a.b": ([10], [-0.5]),
    }
    assert list(series_of([END])["a.loss"].values) == [4.0]
    assert series_of([]) == {}


def test_the_best_value():
    """Lower losses and errors are better, higher accuracies; where no order is known there is no best value."""
    assert Series("a.loss", [1, 2, 3], [3.0, 1.0, 1.0]).best == (2, 1.0)
    assert Series("val_accuracy", [1, 2], [0.5, 0.7]).best == (2, 0.7)
    assert Series("learning_rate", [1], [0.1]).best is None
    assert Series("loss").best is None


def test_rows_of_a_table():
    """A row for each point, with the time in UTC, and a column for each series."""
    headings, rows = rows_of({"t": [STEP, END]})

    assert headings[:6] == ["task", "step", "epoch", "ends_epoch", "time", "skipped_steps"]
    assert rows[0]["time"] == "2023-11-14T22:13:20.000+00:00"
    assert (rows[0]["a.loss"], rows[1]["a.loss"], rows[1]["a.val_f1"]) == (2.0, 4.0, 0.5)
    assert set().union(*rows) == set(headings)
