"""Draft of a batch job: checks and plans a job file and renders its script, without writing a file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpcmtl._version import __version__
from hpcmtl.errors import InputError, Problem
from hpcmtl.frameworks.registry import describe
from hpcmtl.jobfile.changes import changes_of, require_swept
from hpcmtl.jobfile.composition import read_job
from hpcmtl.jobfile.frameworks import tasks_by_framework
from hpcmtl.jobfile.slurm import time_text
from hpcmtl.launch.run_facts import installed_version
from hpcmtl.launch.slurm.sbatch import BatchScript, ResourceRequest, render, resource_request
from hpcmtl.launch.slurm.settings import gather
from hpcmtl.layerplan.model.machine import Machine
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.report.limit import cut_off
from hpcmtl.pipeline.prepare import RawJob, plan, prepare
from hpcmtl.results.format import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.jobfile.changes import Change
    from hpcmtl.jobfile.composition import JobValues
    from hpcmtl.launch.slurm.settings import Settings
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.pipeline.prepare import Prepared

Kind = Literal["run", "array", "benchmark"]
_OF_RANKS = ("mpi4py", "psutil")  # distributions that any rank needs, and a base installation lacks


@dataclass(frozen=True)
class SubmitRequest:
    """Holds the request of the command line.

    Attributes:
        file: job file.
        runs: directory in which the run directory is created.
        options: settings by key, None if not given, and `site`.
        sets: ``key=value`` words that change the job.
        kind: run, array (one run per combination of the values in `sets`), or benchmark (one run per entry of
            `widths`).
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
    """Holds one run of a submission: the only one, or one point of a sweep."""

    prepared: Prepared
    plan: LayerPlan
    change: Change


@dataclass(frozen=True)
class Draft:
    """Holds a valid submission.

    Attributes:
        request: request of the command line.
        batch: batch script, with the directory that would be created now.
        settings: settings with their sources.
        points: points of a sweep; one for a single run.
        warnings: messages to the user.
    """

    request: SubmitRequest
    batch: BatchScript
    settings: Settings
    points: tuple[Point, ...]
    warnings: tuple[str, ...]

    def script(self, directory: Path | None = None) -> str:
        """Returns the text of the batch script, optionally for another directory."""
        batch = self.batch if directory is None else replace(self.batch, directory=directory)
        what = "One run" if batch.template == "run" else f"{len(self.points)} runs"
        title = [
            f"{what} of the job {batch.job}, written by hpcmtl {__version__}.",
            "It may be edited, and submitted again by sbatch: what is done is not done again.",
        ]
        return render(batch, self.settings, title)

    @property
    def files(self) -> int:
        """Number of files and folders (inodes) that its runs make, for users with a quota of them."""
        return 3 + sum(_files_of(point) for point in self.points)

    def point_names(self) -> list[str]:
        """Returns the names of the run directories of a sweep: padded numbers."""
        return names_of(len(self.points))


_FILES_OF_A_RUN = 20
"""Files and folders of any run beside those of its ranks and tasks: job, plan, ledger, status, batch output, ..."""
_FILES_OF_A_TASK = 5
"""Its artifact, the folder of its checkpoints, two of them, and one that is being written."""


def _files_of(point: Point) -> int:
    """Returns the number of files and folders of a run: tasks that are applied keep a part for each layer."""
    tasks = point.prepared.graph.tasks
    parts = sum(0 if task.facts.stops_at_steps else task.layers for task in tasks)
    return _FILES_OF_A_RUN + point.prepared.job.ranks + _FILES_OF_A_TASK * len(tasks) + parts


def names_of(count: int) -> list[str]:
    """Returns the numbers from 0, padded to one width of at least three digits."""
    return [f"{number:0{max(len(str(count - 1)), 3)}d}" for number in range(count)]


def settings_for(request: SubmitRequest) -> Settings:
    """Returns the settings of a submission with their sources.

    Raises:
        InputError: the settings are invalid; lists all problems.
    """
    return gather(request.options, _read(request.file).values.get("slurm"), str(request.file))


def _read(file: Path) -> JobValues:
    found = read_job(file)
    if found.problems:
        raise InputError(found.problems)
    return found


def draft(request: SubmitRequest) -> Draft:
    """Checks and plans a submission.

    Raises:
        InputError: job, settings or arguments are invalid; lists all problems.
        EnvironmentUnfitError: the templates are not installed.
    """
    found = _read(request.file)
    raw = found.values
    settings = gather(request.options, raw.get("slurm"), str(request.file))
    changes = changes_of(request.sets, _swept(raw) if request.kind == "array" else None)
    if request.kind != "array" and len(changes) > 1:
        raise InputError([Problem("--set", f"{len(changes)} combinations of values; add --array for a run of each")])
    require_swept(changes[0])
    widths = request.widths if request.kind == "benchmark" else ()
    given = max(widths) if widths else raw.get("ranks")
    resources = resource_request(settings, given if isinstance(given, int) else None)
    if widths and max(widths) > resources.ranks:
        raise InputError(
            [Problem("--benchmark", f"{max(widths)} ranks do not fit the {resources.ranks} that are requested")]
        )
    each = [replace(resources, ranks=width) for width in widths] or [resources]
    job = RawJob(raw, str(request.file), found.places, request.file.parent)
    cores = settings.number("cores_per_node")
    points = tuple(_point(job, change, one, cores) for change in changes for one in each)
    return _drafted(request, settings, resources, points)


def _drafted(
    request: SubmitRequest, settings: Settings, resources: ResourceRequest, points: tuple[Point, ...]
) -> Draft:
    job, now = points[0].prepared.job.job, datetime.now(timezone.utc).astimezone()
    sweep = "" if request.kind == "run" else "sweep-"
    batch = BatchScript(
        request.kind,
        job,
        resources,
        directory=request.runs.resolve() / f"{job}-{sweep}{now:%Y%m%d-%H%M%S}",
        points=[(name, point.prepared.job.ranks) for name, point in zip(names_of(len(points)), points, strict=True)],
    )
    made = Draft(request, batch, settings, points, tuple(_warnings(points, settings)))
    made.script()  # reports invalid directives before submission
    return made


def _swept(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the values by key that the job file sweeps over; what has another form is told with the other keys."""
    sweep = raw.get("sweep")
    given = sweep.items() if isinstance(sweep, dict) else ()
    return {key: each for key, each in given if isinstance(each, list) and each}


def _point(job: RawJob, change: Change, resources: ResourceRequest, cores_per_node: int) -> Point:
    prepared = prepare(job, resources.ranks, changes=change)
    nodes = resources.nodes or 1
    machine = Machine(resources.per_node or -(-resources.ranks // nodes) if nodes > 1 else 0, cores_per_node)
    return Point(prepared, plan(prepared, Speedups((), machine)), change)


def _not_installed(points: Sequence[Point], settings: Settings) -> Iterator[str]:
    """Yields a sentence if the ranks would be started with this Python, which lacks what they need."""
    if settings["python"] != sys.executable:
        return
    names = {name for point in points for name in tasks_by_framework(point.prepared.job)}
    missing = sorted({each for name in names for each in describe(name).missing})
    missing += [name for name in _OF_RANKS if installed_version(name) is None]
    if missing:
        yield (
            f"the ranks start with {sys.executable}, which submits and has no {' and no '.join(missing)}: name the "
            "Python of an installation with it as `python` in the site profile (or under `slurm`), or submit with it"
        )


def _warnings(points: Sequence[Point], settings: Settings) -> Iterator[str]:
    yield from _not_installed(points, settings)
    sweep = points[0].prepared.job.sweep
    if sweep and not points[0].change:
        yield f"the job file has a sweep over {', '.join(sweep)}: --array makes a run of each combination"
    limit, requeues = settings["time"], settings["requeues"]
    if limit is None:
        yield "no time limit is requested (--time): the partition's limit applies, and the plan is not compared with it"
        return
    late = [point for point in points if cut_off(point.plan, limit)]
    if late:
        longest = max(point.plan.makespan for point in late)
        verb = "does not fit" if longest > limit else "may be cut off by"
        again = (
            f"it goes on in up to {counted(requeues, 'further attempt')}" if requeues else "there is no further attempt"
        )
        yield f"the plan takes {longest:.0f} s and {verb} the time limit of {time_text(limit)}: {again}"
