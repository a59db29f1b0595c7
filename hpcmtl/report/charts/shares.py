"""A bar of shares, and a matrix of cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.report.charts.svg import LETTER, WIDTH, drawing, element, fitting, label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

_CELL, _MOST_LABEL = 44.0, 150.0


def share_bar(shares: Mapping[str, float]) -> Markup:
    """Returns one bar, whose parts are as long as the shares, which are 0 or more."""
    total, x, parts = sum(shares.values()) or 1.0, 0.0, []
    for number, (name, share) in enumerate(shares.items()):
        width = share / total * WIDTH
        words = f"{name}: {share:.4g} rank-seconds, {100 * share / total:.1f} %"
        shape = element("rect", x=x, y=0, width=max(width - 1, 0.0), height=34, class_=f"c{number}")
        text = label(x + 5, 22, fitting(f"{name} {100 * share / total:.0f} %", width - 8), class_=f"on-c{number}")
        parts.append(element("g", element("title", words), shape, text))
        x += width
    return drawing(WIDTH, 34, "rank-seconds by what they were spent on", parts)


def cosine_matrix(names: Sequence[str], cosines: Mapping[str, float]) -> Markup:
    """Returns the matrix of cosines of pairs ``"one, other"``: blue above 0, orange below, a number in each cell."""
    left = min(max(((len(name) + 4) * LETTER for name in names), default=0.0), _MOST_LABEL) + 10
    parts = []
    for row, one in enumerate(names):
        parts.append(label(left - 6, (row + 0.5) * _CELL + 4, fitting(f"{one}  {row + 1}", _MOST_LABEL), anchor="end"))
        parts.append(label(left + (row + 0.5) * _CELL, len(names) * _CELL + 14, str(row + 1), anchor="middle"))
        for column, other in enumerate(names):
            known = cosines.get(f"{one}, {other}", cosines.get(f"{other}, {one}", 1.0 if row == column else None))
            if known is not None:
                parts.append(_cell(left + column * _CELL, row * _CELL, known, f"{one} and {other}"))
    size = len(names) * _CELL
    return drawing(left + size + 4, size + 20, f"cosines between the gradients of {', '.join(names)}", parts)


def _cell(x: float, y: float, value: float, pair: str) -> Markup:
    style, strength = "l0" if value >= 0 else "l1", min(abs(value), 1.0)
    box = {"x": x, "y": y, "width": _CELL - 2, "height": _CELL - 2}
    return element(
        "g",
        element("title", f"{pair}: {value:.3f}"),
        element("rect", **box, class_=f"cell {style}", fill_opacity=f"{0.65 * strength:.2f}"),
        label(x + _CELL / 2 - 1, y + _CELL / 2 + 3, f"{value:.2f}", anchor="middle"),
    )
