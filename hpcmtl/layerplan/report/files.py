"""Planning problems and schedules as NumPy files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcmtl.arrays import Arrays
    from hpcmtl.layerplan.solve.packing import Schedule


REQUIRED = {"times": 2, "widths": 1, "edges": 2, "ranks": 0}  # name of array -> number of dimensions
OPTIONAL = {"release": 1, "priority": 1}
_WHOLE = ("widths", "edges", "ranks", "priority")
_SHOWN = 5  # number of wrong entries in a message


def read_problem(path: Path) -> PlanningProblem:
    """Reads a planning problem from an ``.npz`` file.

    Arrays: `times` (n, K) seconds, inf where a width is not allowed; `widths` (K,) numbers of ranks, ascending; `edges`
    (m, 2) producer and consumer; `ranks`; optional: `release` (n,) seconds and `priority` (n,). The name of a task is
    its index.

    Raises:
        InputError: the file is invalid; the message lists all problems.
    """
    arrays = _load(path)
    found = _misshapen(arrays) or _invalid(arrays)
    if found:
        raise InputError([Problem(f"{path}: {name}", message) for name, message in found])
    ranks, count = int(arrays["ranks"]), len(arrays["times"])
    fits = arrays["widths"] <= ranks
    levels = Levels(count, arrays["edges"].astype(np.int64))
    try:
        _ = levels.depths
    except ValueError as error:
        raise InputError([Problem(f"{path}: edges", str(error))]) from error
    return PlanningProblem(
        names=tuple(f"{i:0{len(str(count - 1))}d}" for i in range(count)),  # padded, so that names sort like indices
        times=np.ascontiguousarray(arrays["times"][:, fits], dtype=np.float64),
        widths=arrays["widths"][fits].astype(np.int64),
        levels=levels,
        ranks=ranks,
        priority=arrays.get("priority", np.zeros(count)).astype(np.int64),
        layers=np.ones(count, dtype=np.int64),
        release=arrays.get("release", np.zeros(count)).astype(np.float64),
    )


def write_schedule(path: Path, problem: PlanningProblem, schedule: Schedule) -> None:
    """Writes `width`, `start`, `end` and `first_rank`, (n,) each, to an ``.npz`` file."""
    _, widths = problem.at(schedule.columns)
    with path.open("wb") as file:  # given a path, NumPy would add a suffix
        np.savez(file, width=widths, start=schedule.start, end=schedule.end, first_rank=schedule.first_rank)


def _load(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise InputError([Problem(str(path), "there is no such file")]) from error
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise InputError([Problem(str(path), f"is no .npz file of plain arrays: {error}")]) from error


def _misshapen(arrays: Arrays) -> list[tuple[str, str]]:
    known = {**REQUIRED, **OPTIONAL}
    found = [(name, f"there is no such array{nearest(name, known)}") for name in arrays if name not in known]
    found += [(name, "is missing") for name in REQUIRED if name not in arrays]
    for name, array in arrays.items():
        wanted = "iu" if name in _WHOLE else "iuf"
        if name not in known:
            continue
        if array.ndim != known[name]:
            found.append((name, f"has shape {array.shape}; it should have {known[name]} dimensions"))
        elif array.dtype.kind not in wanted and array.size:
            found.append((name, f"has dtype {array.dtype}; it should hold {'whole ' if name in _WHOLE else ''}numbers"))
    return found


def _invalid(arrays: Arrays) -> list[tuple[str, str]]:
    times, widths, edges, ranks = (arrays[name] for name in REQUIRED)
    count = len(times)
    found = []
    if times.size == 0:
        return [("times", f"has shape {times.shape}: there is nothing to plan")]
    if widths.shape != (times.shape[1],):
        return [("widths", f"has {len(widths)} entries for the {times.shape[1]} columns of times")]
    if ranks < 1:
        found.append(("ranks", f"is {ranks}; a plan needs at least 1 rank"))
    if widths[0] < 1 or (np.diff(widths.astype(np.int64)) <= 0).any():
        found.append(("widths", "should be at least 1 and rise from column to column"))
    found += _wrong("times", "is NaN or negative", ~(times >= 0))
    impossible = ~np.isfinite(times[:, widths <= ranks]).any(axis=1)
    found += _wrong("times", f"has no finite time on {ranks} ranks or fewer", impossible)
    if edges.shape[1:] != (2,):
        found.append(("edges", f"has shape {edges.shape}; it should be (m, 2)"))
    elif edges.size:
        found += _wrong("edges", f"is not between two different tasks from 0 to {count - 1}", _bad_edges(edges, count))
    return found + _per_task(arrays, count)


def _bad_edges(edges: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    bad: np.ndarray[Any, Any] = ((edges < 0) | (edges >= count)).any(axis=1) | (edges[:, 0] == edges[:, 1])
    return bad


def _per_task(arrays: Mapping[str, np.ndarray[Any, Any]], count: int) -> list[tuple[str, str]]:
    found = [
        (name, f"has shape {arrays[name].shape}; there are {count} tasks")
        for name in OPTIONAL
        if name in arrays and arrays[name].shape != (count,)
    ]
    release = arrays.get("release", np.zeros(0))
    bad = ~((release >= 0) & np.isfinite(release))
    return found + _wrong("release", "is not a finite number of seconds from 0 on", bad)


def _wrong(name: str, what: str, wrong: np.ndarray[Any, Any]) -> list[tuple[str, str]]:
    """Returns one message for all wrong entries; it names the first few."""
    places = np.argwhere(wrong)
    if not len(places):
        return []
    shown = ", ".join("[" + ", ".join(map(str, place)) + "]" for place in places[:_SHOWN])
    return [(name, f"{shown}{' and others' if len(places) > _SHOWN else ''} {what}")]
