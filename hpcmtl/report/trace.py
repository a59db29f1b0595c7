"""The course of a run as a Chrome trace: planned and actual task layers on ranks, curves and notable events.

The format is the JSON of the Trace Event Format, which Perfetto and ``chrome://tracing`` open. Times are on the axis of
the run, in microseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.report.facts.read import read_overview
from hpcmtl.results.curves.reader import read_curves
from hpcmtl.results.rundir.directory import write_text_atomically
from hpcmtl.results.strict_json import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.report.facts.values import GanttPiece, RunOverview
    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.rundir.directory import RunDirectory

_ACTUAL, _PLANNED, _CURVES = 1, 2, 3  # numbers of processes, each a section of the picture
_SECTIONS = {_ACTUAL: "ranks: what they did", _PLANNED: "ranks: the plan", _CURVES: "curves"}
_MICROSECONDS = 1e6


def write_trace(run: RunDirectory) -> None:
    """Writes the trace of a run to its directory.

    Raises:
        InputError: the run directory is damaged.
        OSError: the file cannot be written.
    """
    text = to_json({"traceEvents": trace_events(read_overview(run), read_curves(run)), "displayTimeUnit": "ms"})
    write_text_atomically(run.trace_file, text + "\n")


def trace_events(overview: RunOverview, curves: Mapping[str, Sequence[TrainingPoint]]) -> list[dict[str, Any]]:
    """Returns the events of a trace.

    Args:
        overview: facts of the run.
        curves: points of its tasks.
    """
    return [
        *_names(overview),
        *_pieces(overview.actual, _ACTUAL),
        *_pieces(overview.planned, _PLANNED),
        *_counters(overview, curves),
        *_notable(overview),
    ]


def _names(overview: RunOverview) -> Iterator[dict[str, Any]]:
    hosts = overview.environment.get("hosts", [])
    for section, title in _SECTIONS.items():
        yield {"ph": "M", "pid": section, "name": "process_name", "args": {"name": title}}
        yield {"ph": "M", "pid": section, "name": "process_sort_index", "args": {"sort_index": section}}
    for section, pieces in ((_ACTUAL, overview.actual), (_PLANNED, overview.planned)):
        for rank in range(max((piece.last_rank + 1 for piece in pieces), default=0)):
            place = f" on {hosts[rank]}" if rank < len(hosts) else ""
            yield {
                "ph": "M",
                "pid": section,
                "tid": rank,
                "name": "thread_name",
                "args": {"name": f"rank {rank}{place}"},
            }


def _pieces(pieces: Sequence[GanttPiece], section: int) -> Iterator[dict[str, Any]]:
    """Yields one rectangle for each piece and each of its ranks."""
    for piece in pieces:
        name = piece.task if piece.layer is None else f"{piece.task} {piece.layer}"
        facts = {"task": piece.task, "layer": piece.layer, "ranks": piece.ranks, "outcome": piece.outcome}
        for rank in range(piece.first_rank, piece.last_rank + 1):
            yield {
                "ph": "X",
                "cat": "plan" if section == _PLANNED else "layer",
                "name": name,
                "pid": section,
                "tid": rank,
                "ts": piece.start * _MICROSECONDS,
                "dur": max(piece.end - piece.start, 0.0) * _MICROSECONDS,
                "args": facts,
            }


def _counters(overview: RunOverview, curves: Mapping[str, Sequence[TrainingPoint]]) -> Iterator[dict[str, Any]]:
    """Yields the losses and the pace of each task over time."""
    attempts = overview.summary.attempts
    for task, points in curves.items():
        for point in points:
            inside = [each for each in attempts if each.began <= point.at]
            if not inside or point.ends_epoch:
                continue
            at = (inside[-1].start + point.at - inside[-1].began) * _MICROSECONDS
            yield {"ph": "C", "pid": _CURVES, "name": f"{task}: loss", "ts": at, "args": dict(point.losses)}
            if point.samples_per_second is not None:
                pace = {"samples/s": point.samples_per_second}
                yield {"ph": "C", "pid": _CURVES, "name": f"{task}: samples/s", "ts": at, "args": pace}


def _notable(overview: RunOverview) -> Iterator[dict[str, Any]]:
    for event in overview.notable:
        facts = {"task": event.task, "text": event.text, "attempt": event.attempt}
        yield {
            "ph": "i",
            "s": "p",
            "cat": "event",
            "name": event.event,
            "pid": _ACTUAL,
            "tid": 0,
            "ts": event.at * _MICROSECONDS,
            "args": facts,
        }
