"""SVG chart of a plan: ranks over time, one colour per task, the critical path outlined. It needs no other file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hpcmtl.layerplan.report.names import shortened
from hpcmtl.layerplan.report.ticks import round_up

if TYPE_CHECKING:
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask

WIDTH, ROW, LEAST_ROWS, MOST_ROWS = 1200, 22, 6, 32  # width and row height in pixels; limits of the number of rows
MARGIN = {"left": 70, "right": 24, "top": 64, "bottom": 56}
LETTER = 7.0  # width of a letter of the labels, in pixels
# Okabe and Ito, "Color universal design", 2008: colour-blind people tell these apart. Reports have them as well.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
DARK = COLOURS[:1]  # with white letters
TICK = 5.0  # height of the marks between task layers, in pixels


@dataclass(frozen=True, kw_only=True)
class _Box:
    """Holds a rectangle in pixels; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float


def svg(plan: LayerPlan, job: str = "") -> str:
    """Returns the chart of a plan, with the name of its job."""
    rows = min(max(plan.ranks, LEAST_ROWS), MOST_ROWS)
    inner_width, inner_height = WIDTH - MARGIN["left"] - MARGIN["right"], ROW * rows
    height = inner_height + MARGIN["top"] + MARGIN["bottom"]
    across, down = inner_width / (plan.makespan or 1.0), inner_height / plan.ranks
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "font-family": "sans-serif",
            "font-size": "12",
        },
    )
    _add(root, "rect", x=0, y=0, width=WIDTH, height=height, fill="white")
    title = f"{f'{job}: ' if job else ''}{plan.size}, policy {plan.policy}"
    _text(root, MARGIN["left"], 24, title, **{"font-size": "16", "font-weight": "bold"})
    facts = f"makespan {plan.makespan:.4g} s (predicted), at most {100 * plan.gap:.1f} % from optimal for its layers, "
    facts += f"utilisation {100 * plan.utilisation:.0f} %; dark outline: critical path"
    _text(root, MARGIN["left"], 44, facts)
    _axes(root, plan, _Box(x=MARGIN["left"], y=MARGIN["top"], width=inner_width, height=inner_height))
    for task in sorted(plan.tasks, key=lambda task: (task.critical, task.start)):  # outlines on top
        box = _Box(
            x=MARGIN["left"] + task.start * across,
            y=MARGIN["top"] + task.first_rank * down,
            width=max((task.end - task.start) * across, 1.0),
            height=task.width * down,
        )
        _task(root, task, box)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _task(root: ET.Element, task: PlannedTask, box: _Box) -> None:
    outline = {"stroke": "#111111", "stroke-width": "2.5"} if task.critical else {"stroke": "white"}
    group, colour = ET.SubElement(root, "g"), COLOURS[task.order % len(COLOURS)]
    first, last = task.first_rank, task.first_rank + task.width - 1
    title = f"{task.name} ({task.kind}): ranks {first} to {last}, {task.start:.4g} to {task.end:.4g} s, "
    layers = "1 layer" if task.layers == 1 else f"{task.layers} layers"
    ET.SubElement(group, "title").text = f"{title}{layers}{', critical' if task.critical else ''}"
    _add(group, "rect", x=box.x, y=box.y, width=box.width, height=box.height, fill=colour, **outline)
    if task.layers < box.width / 4:
        for number in range(1, task.layers):
            x = box.x + box.width * number / task.layers
            _add(group, "line", x1=x, y1=box.y, x2=x, y2=box.y + min(TICK, box.height), stroke="#111111")
    letters = int((box.width - 8) / LETTER)
    if letters >= min(len(task.name), 3) and box.height >= 12:
        _text(
            group,
            box.x + 4,
            box.y + box.height / 2 + 4,
            shortened(task.name, letters),
            fill="white" if colour in DARK else "black",
        )


def _axes(root: ET.Element, plan: LayerPlan, box: _Box) -> None:
    """Draws the time axis below and the rank axis at the left, with grid lines."""
    left, top, width, height = box.x, box.y, box.width, box.height
    step = round_up(plan.makespan / 8)
    for k in range(int(plan.makespan / step * (1 + 1e-9)) + 1):
        x = left + k * step * width / (plan.makespan or 1.0)
        _add(root, "line", x1=x, y1=top, x2=x, y2=top + height, stroke="#dddddd")
        _text(root, x, top + height + 18, f"{k * step:g}", **{"text-anchor": "middle"})
    _text(root, left + width / 2, top + height + 42, "seconds", **{"text-anchor": "middle"})
    step = max(round(round_up(plan.ranks / 8)), 1)
    for rank in range(0, plan.ranks, step):
        y = top + rank * height / plan.ranks
        _add(root, "line", x1=left, y1=y, x2=left + width, y2=y, stroke="#dddddd")
        _text(root, left - 8, y + min(height / plan.ranks, ROW) / 2 + 4, str(rank), **{"text-anchor": "end"})
    _text(root, left - 8, top - 8, "rank", **{"text-anchor": "end"})


def _text(root: ET.Element, x: float, y: float, text: str, **style: float | str) -> None:
    element = _add(root, "text", x=x, y=y, **style)
    element.text = text


def _add(root: ET.Element, kind: str, **values: float | str) -> ET.Element:
    return ET.SubElement(root, kind, {key: _number(value) for key, value in values.items()})


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
