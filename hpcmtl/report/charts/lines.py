"""Line charts of curves: several series over the steps of a task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.report.charts.svg import COLOURS, drawing, element, fitting, label, points_text, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from hpcmtl.results.curves.series import Series

WIDTH, HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 10, 34
_LINE = 14  # height of a line of the legend
MOST_SERIES = 8
_DASHES = ("", "6 3", "2 2", "8 2 2 2")  # beside the colour, so that lines differ in black and white as well


def line_chart(series: Sequence[Series], title: str) -> Markup:
    """Returns a chart of at most `MOST_SERIES` series over their steps; values that are not finite are left out."""
    shown = [each for each in series if any(map(math.isfinite, each.values))][:MOST_SERIES]
    values = [value for each in shown for value in each.values if math.isfinite(value)]
    steps = [step for each in shown for step in each.steps]
    if not values:
        return drawing(WIDTH, HEIGHT, title, [label(10, 20, "no finite values")])
    low, high, last = _low(values), max(values), max(*steps, 1)
    high = high if high > low else low + (abs(low) or 1.0)

    def across(step: float) -> float:
        return _LEFT + step / last * (WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        element("rect", x=_LEFT, y=_TOP, width=WIDTH - _LEFT - _RIGHT, height=HEIGHT - _TOP - _BOTTOM, class_="ground")
    ]
    for value in ticks(low, high, 4):
        parts.append(element("line", x1=_LEFT, y1=down(value), x2=WIDTH - _RIGHT, y2=down(value), class_="grid"))
        parts.append(label(_LEFT - 4, down(value) + 4, f"{value:.4g}", anchor="end"))
    parts += [label(across(step), HEIGHT - _BOTTOM + 14, f"{step:g}", anchor="middle") for step in ticks(0, last, 4)]
    parts.append(label((_LEFT + WIDTH) / 2, HEIGHT - 4, "optimizer steps", anchor="middle"))
    for number, each in enumerate(shown):
        known = [(s, v) for s, v in zip(each.steps, each.values, strict=True) if math.isfinite(v)]
        parts.append(_line([across(s) for s, _ in known], [down(v) for _, v in known], number))
        y = HEIGHT + 10 + number * _LINE
        parts.append(_line([_LEFT, _LEFT + 24], [y - 4, y - 4], number))
        last_value = f" ({known[-1][1]:.4g} at the end)"
        parts.append(label(_LEFT + 30, y, f"{fitting(each.name, WIDTH - _LEFT - 180)}{last_value}"))
    return drawing(WIDTH, HEIGHT + 6 + len(shown) * _LINE, f"{title}: {', '.join(each.name for each in shown)}", parts)


def _low(values: Sequence[float]) -> float:
    """Returns the lower end of the axis: 0 if values are near it or negative ones are missing."""
    least = min(values)
    return 0.0 if 0 <= least < max(values) / 2 else least


def _line(xs: Sequence[float], ys: Sequence[float], number: int) -> Markup:
    style = f"line l{number % COLOURS}"
    dash = _DASHES[number % len(_DASHES)]
    if len(xs) == 1:
        return element("circle", cx=xs[0], cy=ys[0], r=3, class_=f"{style} dot")
    return element("polyline", points=points_text(xs, ys), class_=style, stroke_dasharray=dash)
