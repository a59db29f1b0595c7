"""The picture of a plan is well-formed, and shows every task where and when it runs."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from plans import TASKS, plan_of, planned

from hpcmtl.layerplan.report.chart import svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("ranks", [4, 5, 4096])
def test_blocks_are_drawn_to_scale(ranks: int) -> None:
    """Half of the time is half of the width, a quarter of the ranks a quarter of the height; outlines tell apart."""
    root = ET.fromstring(svg(plan_of(TASKS, ranks)))  # noqa: S314 - our own
    groups = root.findall(f"{SVG}g")
    boxes = {(group.findtext(f"{SVG}title") or "").partition(" (")[0]: group.find(f"{SVG}rect") for group in groups}
    trunk, other = boxes["trunk"], boxes["a<b & co"]
    assert trunk is not None
    assert other is not None

    def value(box: ET.Element, name: str) -> float:
        return float(box.attrib[name])

    assert set(boxes) == {"trunk", "a<b & co", "tiny"}
    assert value(trunk, "width") == pytest.approx(value(other, "width"))
    assert value(other, "x") == pytest.approx(value(trunk, "x") + value(trunk, "width"), rel=1e-4)
    assert value(other, "height") == pytest.approx(0.75 * value(trunk, "height"), rel=1e-4)
    assert trunk.attrib["stroke"] != other.attrib["stroke"]
    assert len({box.attrib["fill"] for box in boxes.values() if box is not None}) == 3


def test_blocks_stand_at_their_ranks() -> None:
    """A block begins at the grid line of its first rank, and ends within the picture."""
    root = ET.fromstring(svg(plan_of(TASKS, 4)))  # noqa: S314 - our own
    lines = [float(line.attrib["y1"]) for line in root.iter(f"{SVG}line") if line.attrib["y1"] == line.attrib["y2"]]
    height = float(root.attrib["viewBox"].split()[3])
    boxes = {(group.findtext(f"{SVG}title") or "").partition(" (")[0]: group.find(f"{SVG}rect") for group in root}

    for task in TASKS:
        box = boxes[task.name]
        assert box is not None
        assert float(box.attrib["y"]) == pytest.approx(lines[task.first_rank], abs=0.01)
        assert float(box.attrib["y"]) + float(box.attrib["height"]) < height


def test_names_stand_in_their_blocks() -> None:
    """A name is in the middle of its block, and as much of it as fits; the caption has the figures of the plan."""
    root = ET.fromstring(svg(plan_of(TASKS, 5)))  # noqa: S314 - our own
    labelled = 0
    for group in root.findall(f"{SVG}g"):
        box, label = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        assert box is not None
        if label is not None:
            labelled += 1
            middle = float(box.attrib["y"]) + float(box.attrib["height"]) / 2
            assert middle < float(label.attrib["y"]) < middle + 8  # the base line of its letters
            assert float(box.attrib["x"]) < float(label.attrib["x"])
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]

    assert labelled >= 2
    assert any("utilisation 90 %" in text and "at most 25.0 % from optimal for its layers" in text for text in texts)
    assert [text for text in texts if text.isdigit()][:5] == ["0", "2", "4", "6", "8"]


def test_job_and_layers_are_shown() -> None:
    """The title begins with the job, and marks stand between the task layers of blocks that are wide enough."""
    root = ET.fromstring(svg(plan_of(TASKS, 4), "family"))  # noqa: S314 - our own
    marks = {
        (group.findtext(f"{SVG}title") or "").partition(" (")[0]: group.findall(f"{SVG}line")
        for group in root.findall(f"{SVG}g")
    }

    assert any((text.text or "").startswith("family: 3 tasks on 4 ranks") for text in root.iter(f"{SVG}text"))
    assert {name: len(lines) for name, lines in marks.items()} == {"trunk": 1, "a<b & co": 1, "tiny": 0}


def test_seconds_stand_below_their_time() -> None:
    """Labels and grid lines of the time axis are to the scale of the blocks: half of the time is in the middle."""
    root = ET.fromstring(svg(plan_of(TASKS, 4)))  # noqa: S314 - our own
    texts = {text.text: float(text.attrib["x"]) for text in root if text.attrib.get("text-anchor") == "middle"}
    lines = [float(line.attrib["x1"]) for line in root if line.tag == f"{SVG}line"]
    seconds = {text: x for text, x in texts.items() if text != "seconds"}
    first, last = seconds["0"], seconds["10"]

    assert list(seconds) == ["0", "2", "4", "6", "8", "10"]
    assert list(seconds.values()) == pytest.approx(np.linspace(first, last, 6), rel=1e-4)
    assert texts["seconds"] == pytest.approx((first + last) / 2)
    assert set(seconds.values()) <= set(lines)
    trunk = next(group.find(f"{SVG}rect") for group in root.findall(f"{SVG}g"))
    assert trunk is not None
    assert last - first == pytest.approx(2 * float(trunk.attrib["width"]), rel=1e-4)


def test_names_without_room_are_told_apart() -> None:
    """Three tasks side by side whose names differ at their end alone have three labels."""
    names = [f"pretrain-of-the-large-encoder-fold-{number}" for number in range(3)]
    tasks = [planned(name, (2 * number, 2 * number + 2), (0, 1)) for number, name in enumerate(names)]
    root = ET.fromstring(svg(plan_of((*tasks, planned("rest", (6, 10), (0, 1))), 1)))  # noqa: S314 - our own
    labels = [group.findtext(f"{SVG}text") or "" for group in root.findall(f"{SVG}g")]
    short = [label for label in labels if "…" in label]

    assert len(set(short)) == 3
    assert {label[-2:] for label in short} == {"-0", "-1", "-2"}


def test_an_empty_plan() -> None:
    """A plan of nothing is a picture too."""
    assert "0 tasks" in svg(plan_of((), ranks=1, makespan=0.0))
