"""A batch job from its job file to the text of its script: checked and planned, nothing written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpcmtl._version import __version__
from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.load import read_values
from hpcmtl.jobfile.slurm import time_text
from hpcmtl.launch.slurm.sbatch import BatchScript, ResourceRequest, render, resource_request
from hpcmtl.launch.slurm.settings import gather
from hpcmtl.layerplan.model.machine import Machine
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.report.limit import cut_off
from hpcmtl.pipeline.batch.sweep import changed, changes_of
from hpcmtl.pipeline.prepare import RawJob, plan, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.launch.slurm.settings import Settings
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.pipeline.batch.sweep import Change
    from hpcmtl.pipeline.prepare import Prepared

Kind = Literal["run", "array", "benchmark"]


@dataclass(frozen=True)
class SubmitRequest:
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
    kind: Kind = "run"
    widths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Point:
    """One run of a submission: the whole of it, or one of a sweep."""

    prepared: Prepared
    plan: LayerPlan
    change: Change


@dataclass(frozen=True)
class Draft:
    """A submission that was found sound.

    Attributes:
        batch: with the directory that would be made now.
        settings: with where they come from.
        points: one for a run.
        warnings: for people.
    """

    request: SubmitRequest
    batch: BatchScript
    settings: Settings
    points: tuple[Point, ...]
    warnings: tuple[str, ...]

    def script(self, directory: Path | None = None) -> str:
        """The text of the batch script, for another directory if one is given."""
        batch = self.batch if directory is None else replace(self.batch, directory=directory)
        what = "One run" if batch.template == "run" else f"{len(self.points)} runs"
        title = [
            f"{what} of the job {batch.job}, written by hpcmtl {__version__}.",
            "It may be edited, and submitted again by sbatch: what is done is not done again.",
        ]
        return render(batch, self.settings, title)

    def point_names(self) -> list[str]:
        """Names of the run directories of a sweep: padded numbers."""
        return names_of(len(self.points))


def names_of(count: int) -> list[str]:
    """Numbers from 0, all of one width, three digits at least."""
    return [f"{number:0{max(len(str(count - 1)), 3)}d}" for number in range(count)]


def settings_for(request: SubmitRequest) -> Settings:
    """The settings of a submission, with where they come from.

    Raises:
        InputError: everything that is wrong with them.
    """
    raw, _ = read_values(request.file)
    return gather(request.options, raw.get("slurm"), str(request.file))


def draft(request: SubmitRequest) -> Draft:
    """Check and plan a submission.

    Raises:
        InputError: everything that is wrong with job, settings and arguments.
        EnvironmentUnfitError: the templates are not installed.
    """
    raw, lines = read_values(request.file)
    settings = gather(request.options, raw.get("slurm"), str(request.file))
    changes = changes_of(request.sets)
    if request.kind != "array" and len(changes) > 1:
        raise InputError([Problem("--set", f"{len(changes)} combinations of values; add --array for a run of each")])
    for key in changes[0]:
        if key == "ranks" or key.partition(".")[0] == "slurm":
            text = "is the same for all points; use --nodes, --ntasks-per-node, --benchmark and the other options"
            raise InputError([Problem(f"--set {key}", text)])
    widths = request.widths if request.kind == "benchmark" else ()
    given = max(widths) if widths else raw.get("ranks")
    ask = resource_request(settings, given if isinstance(given, int) else None)
    if widths and max(widths) > ask.ranks:
        raise InputError([Problem("--benchmark", f"{max(widths)} ranks do not fit the {ask.ranks} that are asked for")])
    asked = [replace(ask, ranks=width) for width in widths] or [ask]
    points = tuple(
        _point(request, (raw, lines), change, one, settings.number("cores_per_node"))
        for change in changes
        for one in asked
    )
    return _drafted(request, settings, ask, points)


def _drafted(request: SubmitRequest, settings: Settings, ask: ResourceRequest, points: tuple[Point, ...]) -> Draft:
    job, now = points[0].prepared.job.job, datetime.now(timezone.utc).astimezone()
    sweep = "" if request.kind == "run" else "sweep-"
    batch = BatchScript(
        request.kind,
        job,
        ask,
        directory=request.runs.resolve() / f"{job}-{sweep}{now:%Y%m%d-%H%M%S}",
        points=[(name, point.prepared.job.ranks) for name, point in zip(names_of(len(points)), points, strict=True)],
    )
    made = Draft(request, batch, settings, points, tuple(_warnings(points, settings)))
    made.script()  # what is wrong with a directive is said now
    return made


def _point(
    request: SubmitRequest,
    read: tuple[Mapping[str, Any], Mapping[tuple[str, ...], int]],
    change: Change,
    ask: ResourceRequest,
    cores_per_node: int,
) -> Point:
    raw, lines = read
    values = changed(raw, change)
    data, base = values.get("data"), request.file.parent
    if isinstance(data, dict):
        values["data"] = {name: str(base / path) if isinstance(path, str) else path for name, path in data.items()}
    prepared = prepare(RawJob(values, str(request.file), lines), ask.ranks)
    nodes = ask.nodes or 1
    machine = Machine(ask.per_node or -(-ask.ranks // nodes) if nodes > 1 else 0, cores_per_node)
    return Point(prepared, plan(prepared, Speedups((), machine)), change)


def _warnings(points: Sequence[Point], settings: Settings) -> Iterator[str]:
    limit, requeues = settings["time"], settings["requeues"]
    if limit is None:
        yield "no time limit is asked for (--time): that of the partition counts, and the plan is not held against it"
        return
    late = [point for point in points if cut_off(point.plan, limit)]
    if late:
        longest = max(point.plan.makespan for point in late)
        verb = "does not fit" if longest > limit else "may be cut off by"
        again = f"it goes on in up to {requeues} further attempts" if requeues else "there is no further attempt"
        yield f"the plan takes {longest:.0f} s and {verb} the time limit of {time_text(limit)}: {again}"
