"""Gantt charts: ranks over time, a rectangle for each task layer that ran, or for each task of a plan."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hpcmtl.report.charts.svg import COLOURS, WIDTH, drawing, element, fitting, joined, label, ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from hpcmtl.report.facts.values import GanttPiece

MOST_PIECES = 4000
"""Largest number of rectangles of one chart."""
_LEFT, _TOP, _BOTTOM, _RIGHT = 44, 8, 40, 12
_ROW, _HEIGHT = 22.0, 620.0  # height of a row, and largest height of all of them
_MOST_NAMED, _NAMED_ROW = 16, 14.0  # most ranks with their numbers where rows are lower than this
_NEAR = 0.002  # share of the axis: layers that are nearer to each other may be joined to one rectangle


@dataclass(frozen=True, kw_only=True)
class GanttAxes:
    """Scales and colours that two charts of one run share, so that they can be compared.

    Attributes:
        seconds: length of the time axis.
        ranks: number of ranks.
        colours: number of the colour of each task.
        layers: number of planned task layers by task, whose bounds are marked; empty for none.
        marks: times with a vertical line, by their text.
    """

    seconds: float
    ranks: int
    colours: Mapping[str, int]
    layers: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)

    @property
    def across(self) -> float:
        """Units of the drawing for a second."""
        return (WIDTH - _LEFT - _RIGHT) / (self.seconds or 1.0)

    @property
    def down(self) -> float:
        """Units of the drawing for a rank."""
        return min(_ROW, _HEIGHT / max(self.ranks, 1))


def gantt(pieces: Sequence[GanttPiece], axes: GanttAxes, what: str) -> Markup:
    """Returns a chart; it has at most `MOST_PIECES` rectangles, see `fewer`."""
    height = axes.down * axes.ranks
    parts = [*_axes(axes, height), *(_rectangle(piece, axes) for piece in pieces)]
    for text, at in axes.marks.items():
        x = _LEFT + at * axes.across
        line = element("line", element("title", text), x1=x, y1=_TOP, x2=x, y2=_TOP + height, class_="mark")
        parts.append(line)
    return drawing(WIDTH, _TOP + height + _BOTTOM, what, parts)


def fewer(pieces: Sequence[GanttPiece], seconds: float, most: int = MOST_PIECES) -> tuple[list[GanttPiece], str]:
    """Returns at most `most` pieces, and a sentence that says what was left out; empty if nothing was.

    Layers of one task that follow each other on the same ranks become one piece. If that is not enough, the longest
    pieces stay.
    """
    if len(pieces) <= most:
        return list(pieces), ""
    kept = _merged(pieces, seconds * _NEAR)
    text = "Task layers that follow each other on the same ranks are drawn as one."
    if len(kept) > most:
        text = f"{text} Of {len(kept)} such pieces the {most} longest are drawn."
        kept = sorted(sorted(kept, key=lambda piece: piece.start - piece.end)[:most], key=lambda piece: piece.start)
    return kept, text


def _merged(pieces: Sequence[GanttPiece], near: float) -> list[GanttPiece]:
    groups: defaultdict[tuple[object, ...], list[GanttPiece]] = defaultdict(list)
    for piece in pieces:
        group = groups[piece.task, piece.first_rank, piece.last_rank, piece.outcome]
        if group and piece.start - group[-1].end <= near:
            group[-1] = replace(group[-1], end=piece.end, layer=None)
        else:
            group.append(piece)
    return sorted((piece for group in groups.values() for piece in group), key=lambda piece: piece.start)


def _rectangle(piece: GanttPiece, axes: GanttAxes) -> Markup:
    x, y = _LEFT + piece.start * axes.across, _TOP + piece.first_rank * axes.down
    width = max((piece.end - piece.start) * axes.across, 0.8)
    height = max((piece.last_rank - piece.first_rank + 1) * axes.down - min(1.0, axes.down / 4), 0.5)
    colour = f"c{axes.colours.get(piece.task, 0) % COLOURS}"
    parts = [
        element("title", _words(piece)),
        element("rect", x=x, y=y, width=width, height=height, class_=f"{colour} {piece.outcome}"),
    ]
    layers = axes.layers.get(piece.task, 1)
    if 1 < layers < width / 4:
        bounds = (x + width * number / layers for number in range(1, layers))
        parts += [element("line", x1=at, y1=y, x2=at, y2=y + min(height, 4.0), class_="layer") for at in bounds]
    text = fitting(piece.task, width - 6) if height >= 10 else ""
    if text:
        parts.append(label(x + 3, y + height / 2 + 4, text, class_="" if piece.outcome == "lost" else f"on-{colour}"))
    return element("g", *parts)


def _words(piece: GanttPiece) -> str:
    ranks = f"rank {piece.first_rank}"
    if piece.last_rank > piece.first_rank:
        ranks = f"ranks {piece.first_rank} to {piece.last_rank}"
    layer = "" if piece.layer is None else f", task layer {piece.layer + 1}"
    span = f"{piece.start:.5g} to {piece.end:.5g} s ({piece.end - piece.start:.4g} s)"
    return f"{piece.task}{layer}: {ranks}, {span}, {piece.outcome}"


def _axes(axes: GanttAxes, height: float) -> list[Markup]:
    right = WIDTH - _RIGHT
    parts = [element("rect", x=_LEFT, y=_TOP, width=right - _LEFT, height=height, class_="ground")]
    for at in ticks(0.0, axes.seconds, 8):
        x = _LEFT + at * axes.across
        parts.append(element("line", x1=x, y1=_TOP, x2=x, y2=_TOP + height, class_="grid"))
        parts.append(label(x, _TOP + height + 15, f"{at:g}", anchor="middle"))
    every = max(1, -(-axes.ranks // _MOST_NAMED)) if axes.down < _NAMED_ROW else 1
    named = range(0, axes.ranks, every)
    parts += [label(_LEFT - 5, _TOP + (rank + 0.5) * axes.down + 4, str(rank), anchor="end") for rank in named]
    parts.append(label((_LEFT + right) / 2, _TOP + height + 32, "time in seconds", anchor="middle"))
    middle = _TOP + height / 2
    turned = element("text", "rank", x=10, y=middle, text_anchor="middle", transform=f"rotate(-90 10 {middle:.0f})")
    return [joined(parts), turned]
