"""A batch job, from its job file to what Slurm is given: checked and planned before anything is written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import hpcmtl
from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.load import read_values
from hpcmtl.jobfile.slurm import time_text
from hpcmtl.launch import slurm
from hpcmtl.launch.sbatch import Ask, Batch, ask_for, render
from hpcmtl.launch.settings import gather
from hpcmtl.layerplan.limit import cut_off
from hpcmtl.layerplan.machine import Machine
from hpcmtl.layerplan.speedup import Speedups
from hpcmtl.pipeline.prepare import RawJob, plan, prepare
from hpcmtl.pipeline.sweep import changed, changes_of
from hpcmtl.results.rundir import create, write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.launch.settings import Settings
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.pipeline.sweep import Change

SCRIPT, RECORD = "job.sbatch", "submission.json"


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        file: the job file.
        runs: directory in which the run directory is made.
        options: settings by key, None where not given, and `site`.
        sets: ``key=value`` words that change the job.
        kind: run, array (a run for each combination of the values in `sets`), or benchmark (for each of `widths`).
        widths: numbers of ranks of a benchmark.
    """

    file: Path
    runs: Path = Path("runs")
    options: Mapping[str, Any] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    kind: str = "run"
    widths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Point:
    """One run of a submission: the whole of it, or one of a sweep."""

    prepared: Prepared
    plan: LayerPlan
    change: Change


@dataclass(frozen=True)
class Draft:
    """A submission that was found sound; nothing is written yet.

    Attributes:
        batch: with the directory that would be made now.
        settings: with where they come from.
        points: one for a run.
        warnings: for people.
    """

    request: Request
    batch: Batch
    settings: Settings
    points: tuple[Point, ...]
    warnings: tuple[str, ...]

    def script(self, batch: Batch | None = None) -> str:
        """The text of the batch script."""
        batch = batch or self.batch
        what = {"run": "One run", "array": f"{len(self.points)} runs", "benchmark": f"{len(self.points)} runs"}
        title = [
            f"{what[batch.template]} of the job {batch.job}, written by hpcmtl {hpcmtl.__version__}.",
            "It may be edited, and submitted again by sbatch: what is done is not done again.",
        ]
        return render(batch, self.settings, title)


def settings_for(request: Request) -> Settings:
    """The settings of a submission, with where they come from.

    Raises:
        InputError: everything that is wrong with them.
    """
    raw, _ = read_values(request.file)
    return gather(request.options, raw.get("slurm"), str(request.file))


def draft(request: Request) -> Draft:
    """Check and plan a submission.

    Raises:
        InputError: everything that is wrong with job, settings and arguments.
        EnvironmentUnfitError: the templates are not installed.
    """
    raw, lines = read_values(request.file)
    settings = gather(request.options, raw.get("slurm"), str(request.file))
    changes = changes_of(request.sets)
    if request.kind == "run" and len(changes) > 1:
        raise InputError([Problem("--set", f"{len(changes)} combinations of values; add --array for a run of each")])
    given = raw.get("ranks")
    ask = ask_for(settings, given if isinstance(given, int) else None)
    points = tuple(_point(request, (raw, lines), change, ask, settings) for change in changes)
    name = points[0].prepared.job.job
    stamp = datetime.now(timezone.utc).astimezone()
    directory = request.runs.resolve() / f"{name}-{stamp:%Y%m%d-%H%M%S}"
    batch = Batch(request.kind, name, ask, directory, request.file.resolve().parent)
    made = Draft(request, batch, settings, points, tuple(_warnings(points, settings)))
    made.script()
    return made


def submit(made: Draft) -> dict[str, Any]:
    """Make the run directory, and give the script to Slurm; without Slurm, or if it refuses, nothing is left behind.

    Returns:
        What `submission.json` holds.

    Raises:
        EnvironmentUnfitError: there is no Slurm here, or it refuses the script.
        InputError: no directory can be made.
    """
    run = create(made.request.runs, made.batch.job)
    batch = replace(made.batch, directory=run.path)
    point = made.points[0]
    try:
        run.job_file.write_text(yaml.safe_dump(point.prepared.resolved(), sort_keys=False), encoding="utf-8")
        write_json_atomically(run.plan_file, point.plan.to_dict())
        script = run.path / SCRIPT
        script.write_text(made.script(batch), encoding="utf-8")
        record = _record(made, run.path, script)
        write_json_atomically(run.path / RECORD, record)
        record = {**record, "job": slurm.submit(script)}
        write_json_atomically(run.path / RECORD, record)
    except BaseException:
        if "job" not in locals().get("record", {}):
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    return record


def _record(made: Draft, directory: Path, script: Path) -> dict[str, Any]:
    """What is known of a submission: nothing of the environment, which may hold secrets, goes in."""
    return {
        "hpcmtl": hpcmtl.__version__,
        "submitted": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "kind": made.request.kind,
        "run": str(directory),
        "job_file": str(made.request.file.resolve()),
        "script": str(script),
        "job": None,
        "ranks": made.batch.ask.ranks,
        "nodes": made.batch.ask.nodes,
        "time_limit": made.settings["time"],
        "requeues": made.settings["requeues"],
        "restart": made.settings["restart"],
        "settings": made.settings.to_dict(),
    }


def _point(
    request: Request, read: tuple[Mapping[str, Any], Mapping[tuple[str, ...], int]], change: Change, ask: Ask,
    settings: Settings,
) -> Point:
    raw, lines = read
    values = changed(raw, change)
    data, base = values.get("data"), request.file.parent
    if isinstance(data, dict):
        values["data"] = {name: str(base / path) if isinstance(path, str) else path for name, path in data.items()}
    prepared = prepare(RawJob(values, str(request.file), lines), ask.ranks)
    several = ask.nodes is not None and ask.nodes > 1
    machine = Machine((ask.per_node or -(-ask.ranks // ask.nodes)) if several and ask.nodes else 0, settings["cores_per_node"] or 0)
    return Point(prepared, plan(prepared, Speedups((), machine)), change)


def _warnings(points: tuple[Point, ...], settings: Settings) -> list[str]:
    limit = settings["time"]
    if limit is None:
        return ["no time limit is asked for (--time): that of the partition counts, and the plan cannot be held against it"]
    late = [point for point in points if cut_off(point.plan, limit)]
    if not late:
        return []
    longest = max(point.plan.makespan for point in late)
    text = f"the plan takes {longest:.0f} s, more than the time limit of {time_text(limit)}" if longest > limit else (
        f"the plan takes {longest:.0f} s, and the time limit of {time_text(limit)} may cut it off")
    requeues = settings["requeues"]
    again = f"the run goes on in up to {requeues} further attempts" if requeues else "there will be no further attempt"
    return [f"{text}: {again}"]
