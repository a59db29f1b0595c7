"""How a run is doing, as plain values: what rank 0 writes to `status.json`, and what a run directory tells."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.board import Board
from hpcmtl.results.ledger import read, understanding
from hpcmtl.results.live import live_of
from hpcmtl.results.rundir import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.board import TaskLine

PATIENCE = 6  # beats without a word, after which a rank is suspect, or a run


def status_of(board: Board, now: float) -> dict[str, Any]:
    """Return where a job stands, tasks as an object by their names.

    Args:
        board: the job.
        now: seconds since 1970.
    """
    left = board.left(now)
    end = board.ended or now
    return {
        "job": board.job,
        "status": board.status,
        "ranks": board.ranks,
        "started": board.started or None,
        "ended": board.ended or None,
        "seconds": max(end - board.started, 0.0) if board.started else 0.0,
        "expected_seconds_left": None if left is None else left[0],
        "expected_from": "" if left is None else left[1],
        "tasks": {name: _task(line, now) for name, line in board.tasks.items()},
        "suspects": [{"rank": rank, **fields} for rank, fields in sorted(board.suspects.items())],
    }


def read_status(path: Path, now: float | None = None) -> dict[str, Any]:
    """Read how a run is doing from its directory alone.

    What is done is the ledger's word; `status.json` adds the steps, the nodes and the ranks.

    Args:
        path: the run directory.
        now: seconds since 1970; the clock's by default.

    Returns:
        As `status_of`, with `nodes` and `rank_beats` as rank 0 last wrote them, each with its age and whether it is
        stale, `age` (seconds since the last word of the run; None if there was none) and `silent`: whether that is too
        long ago for a run that has not ended, and all is from then.

    Raises:
        InputError: this is no run directory, or its ledger is damaged.
    """
    now = datetime.now(timezone.utc).timestamp() if now is None else now
    run = RunDirectory(path)
    board = _board(run)
    live = live_of(_json(run.status_file) or {})
    for progress in live.progress:
        board.progressed(progress)
    written = live.written
    heard = max(written, board.latest)
    age = max(now - heard, 0.0) if heard else None
    patience = PATIENCE * live.seconds_between_beats
    silent = not board.ended and age is not None and age > patience
    return {
        "run": str(path),
        **status_of(board, heard if silent else now),
        "age": age,
        "silent": silent,
        "nodes": [_aged(node, now - written, patience) for node in live.nodes],
        "rank_beats": [_aged(beat, now - written, patience) for beat in live.rank_beats],
    }


def find_run(name: Path, runs: Path) -> Path:
    """The run directory that a person means: a path, a job's name for its newest run under `runs`, or ``latest``.

    Raises:
        InputError: there is none.
    """
    if name.is_dir():
        return name
    if name.name == str(name) and runs.is_dir():
        pattern = "*" if str(name) == "latest" else f"{name}-{'[0-9]' * 8}-{'[0-9]' * 6}*"
        found = [path for path in runs.glob(pattern) if RunDirectory(path).plan_file.exists()]
        if found:  # the plan is written once, at the start
            return max(found, key=lambda path: (RunDirectory(path).plan_file.stat().st_mtime_ns, path.name))
    message = f"no such run directory, and no run of that name in {runs}/; give a run directory, a job's name or latest"
    raise InputError([Problem(str(name), message)])


def _aged(facts: dict[str, Any], seconds: float, patience: float) -> dict[str, Any]:
    """Facts that were written so many seconds ago."""
    if "age" not in facts:
        return facts
    age = max(facts["age"] + seconds, 0.0)
    return {**facts, "age": age, "stale": age > patience}


def _board(run: RunDirectory) -> Board:
    if not run.plan_file.exists() and not run.ledger_file.exists():
        missing = f"it has neither {run.plan_file.name} nor {run.ledger_file.name}"
        raise InputError([Problem(str(run.path), f"this is no run directory: {missing}")])
    plan = _json(run.plan_file)
    if plan is None:
        raise InputError([Problem(str(run.plan_file), "there is no plan in it, without which no task is known")])
    try:
        board = Board.of_plan(plan)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        message = f"this is no plan that this version of hpcmtl can read ({error})"
        raise InputError([Problem(str(run.plan_file), message)]) from error
    for number, event in enumerate(read(run.ledger_file) if run.ledger_file.exists() else ()):
        with understanding(run.ledger_file, number):
            fields = {key: value for key, value in event.items() if key not in {"event", "time"}}
            board.take(event["event"], fields, datetime.fromisoformat(event["time"]).timestamp())
    return board


def _json(path: Path) -> dict[str, Any] | None:
    """An object from a file; None if it is not there, or is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _task(line: TaskLine, now: float) -> dict[str, Any]:
    progress = None
    if line.progress is not None:
        progress = {key: value for key, value in asdict(line.progress).items() if key != "task"}
    return {
        "kind": line.kind,
        "status": line.status,
        "layers_done": line.layers_done,
        "layers": line.layers,
        "layer": line.layer if line.status == "running" else None,
        "ranks": line.ranks,
        "fraction": line.share if line.status in {"running", "held", "waiting", "complete"} else None,
        "seconds_left_of_layer": line.left(now),
        "progress": progress,
        "message": line.message,
    }
