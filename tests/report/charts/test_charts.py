"""Drawings of the report: well-formed, escaped, and in their bounds."""

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.report.charts.gantt import GanttAxes, fewer, gantt
from hpcmtl.report.charts.graph import task_graph
from hpcmtl.report.charts.lines import line_chart
from hpcmtl.report.charts.shares import cosine_matrix, share_bar
from hpcmtl.report.charts.svg import fitting, ticks
from hpcmtl.report.facts.values import GanttPiece, GraphEdge, TaskFacts
from hpcmtl.results.curves.series import Series

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert(1)</script>" onload="x" & \'quoted\''


def piece(task, start, end, first_rank=0, **values):
    """A piece on one rank."""
    return GanttPiece(task=task, first_rank=first_rank, last_rank=first_rank, start=start, end=end, **values)


def read(drawing):
    """The root of a drawing, which must be XML."""
    return ET.fromstring(drawing)  # noqa: S314 - made here


@given(low=st.floats(-1e3, 1e3), span=st.floats(1e-6, 1e12), most=st.integers(1, 12))
def test_ticks_are_within_the_range(low, span, most):
    """Ticks ascend within the range, and are at most one more than asked for."""
    found = ticks(low, low + span, most)

    assert found == sorted(found)
    assert len(found) <= most + 1
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in found)


def test_ticks_of_no_range():
    """A range of one value, or of no numbers, has one tick."""
    assert (ticks(2.0, 2.0, 5), ticks(0.0, math.inf, 5)) == ([2.0], [0.0])
    assert ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]


def test_labels_fit():
    """A text that is too long ends with an ellipsis, and one without room is left out."""
    assert (fitting("encoder", 100), fitting("encoder", 27), fitting("encoder", 10)) == ("encoder", "enc…", "")


@pytest.mark.parametrize("count", [1, 200])
def test_hostile_names_are_text(count):
    """A name with markup in it stays text in every drawing."""
    tasks = [TaskFacts(name=f"{HOSTILE}{number}", kind=HOSTILE) for number in range(count)]
    edges = [GraphEdge(producer=tasks[0].name, consumer=task.name, kind=HOSTILE) for task in tasks[1:]]
    axes = GanttAxes(seconds=3.0, ranks=1, colours={})
    drawn = [
        task_graph(tasks, edges),
        gantt([piece(HOSTILE, 0, 3)], axes, HOSTILE),
        line_chart([Series(HOSTILE, [1, 2], [0.5, 0.25])], HOSTILE),
        cosine_matrix([HOSTILE, "b"], {f"{HOSTILE}, b": 0.5}),
        share_bar({HOSTILE: 1.0}),
    ]

    for each in drawn:
        assert not any(element.tag.endswith("script") or "onload" in element.attrib for element in read(each).iter())
        assert "<script" not in each


def test_pieces_lie_at_their_time_and_rank():
    """A rectangle has the share of the chart that its times have of the axis, in the row of its rank."""
    axes = GanttAxes(seconds=10.0, ranks=2, colours={"a": 3})
    root = read(gantt([piece("a", 2, 7, first_rank=1)], axes, "chart"))
    ground, box = root.find(f"{SVG}rect"), root.find(f"{SVG}g/{SVG}rect")
    left, width, top = (float(ground.get(key)) for key in ("x", "width", "y"))

    assert float(box.get("x")) == pytest.approx(left + 0.2 * width, abs=0.1)
    assert float(box.get("width")) == pytest.approx(0.5 * width, abs=0.1)
    assert float(box.get("y")) == pytest.approx(top + float(ground.get("height")) / 2, abs=0.1)
    assert box.get("class") == "c3 planned"
    assert root.find(f"{SVG}g/{SVG}title").text == "a: rank 1, 2 to 7 s (5 s), planned"


def test_many_pieces_become_fewer():
    """Layers in a row become one piece; if there are still too many, the longest stay, and a sentence says so."""
    row = [piece("a", at, at + 1, layer=at, outcome="ended") for at in range(10)]
    apart = [piece("b", 20 * at, 20 * at + 1 + at, outcome="ended") for at in range(10)]
    joined, text = fewer(row, 10.0, most=5)
    longest, cut = fewer(apart, 200.0, most=4)

    assert [(each.start, each.end, each.layer) for each in joined] == [(0, 10, None)]
    assert "as one" in text
    assert [each.end - each.start for each in longest] == [7, 8, 9, 10]
    assert "4 longest" in cut
    assert fewer(row, 10.0) == (row, "")


def test_producers_are_left_of_consumers():
    """Each task is drawn at the right of all tasks that it needs."""
    tasks = [TaskFacts(name=name) for name in "dcba"]
    edges = [GraphEdge(producer=one, consumer=two) for one, two in ("ab", "bc", "ac", "cd")]
    root = read(task_graph(tasks, edges))
    xs = {
        group.find(f"{SVG}title").text.split(":")[0]: float(group.find(f"{SVG}rect").get("x"))
        for group in root.findall(f"{SVG}g")
    }

    assert xs["a"] < xs["b"] < xs["c"] < xs["d"]


def test_values_that_are_not_finite_are_left_out():
    """A curve with NaN or infinity is drawn through its other values, and one without a finite value has a text."""
    drawn = line_chart([Series("loss", [1, 2, 3], [1.0, math.nan, 0.5])], "losses")
    empty = line_chart([Series("loss", [1], [math.inf])], "losses")

    assert len(read(drawn).find(f"{SVG}polyline").get("points").split()) == 2
    assert "nan" not in drawn
    assert "no finite values" in empty


def test_matrix_has_a_cell_for_each_known_pair():
    """The matrix is symmetric, with 1 on the diagonal, and no cell where no cosine is known."""
    root = read(cosine_matrix(["a", "b", "c"], {"a, b": -0.25, "b, c": 0.5}))
    words = sorted(group.find(f"{SVG}title").text for group in root.findall(f"{SVG}g"))

    assert len(words) == 7
    assert words[1] == "a and b: -0.250"
