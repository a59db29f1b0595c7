"""Batch scripts: directives from settings, and the text around them from the templates in ``slurm/``."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.slurm import time_text
from hpcmtl.launch.command import launcher, shipped
from hpcmtl.launch.slurm.settings import Level, stop_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hpcmtl.launch.slurm.settings import Settings

TEMPLATES = ("run", "array", "benchmark")
_SHORT = {
    "A": "account",
    "C": "constraint",
    "D": "chdir",
    "G": "gpus",
    "J": "job-name",
    "L": "licenses",
    "M": "clusters",
    "N": "nodes",
    "a": "array",
    "c": "cpus-per-task",
    "d": "dependency",
    "e": "error",
    "m": "distribution",
    "n": "ntasks",
    "o": "output",
    "p": "partition",
    "q": "qos",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
}


@dataclass(frozen=True)
class ResourceRequest:
    """Holds the numbers of ranks and nodes of a batch job.

    Attributes:
        ranks: number of ranks of the world.
        nodes: number of nodes; None lets Slurm choose.
        per_node: maximum number of ranks per node; None lets Slurm choose.
    """

    ranks: int
    nodes: int | None
    per_node: int | None


@dataclass(frozen=True)
class BatchScript:
    """Describes one batch script.

    Attributes:
        template: run, array or benchmark.
        job: name of the job.
        resources: ranks and nodes.
        directory: absolute path of the run directory, or of the sweep.
        points: name of the run directory and number of ranks of each point of a sweep.
    """

    template: str
    job: str
    resources: ResourceRequest
    directory: Path
    points: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class ArrayChunk:
    """Holds a range of points that are submitted together.

    Attributes:
        first: number of the first point.
        count: number of points.
        array: indices as in ``0-9%2``; None if the chunk is not an array.
    """

    first: int
    count: int
    array: str | None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the script."""
        return () if self.array is None else (str(self.first),)


def array_chunks(points: int, limit: int | None, throttle: int | None) -> list[ArrayChunk]:
    """Divides a sweep into arrays, because Slurm's indices end below MaxArraySize.

    Args:
        points: number of points of the sweep.
        limit: maximum number of points per array; None for one array of any size.
        throttle: maximum number of points that run at the same time; None for no limit.
    """
    limit = limit or points
    mark = "" if throttle is None else f"%{throttle}"
    counts = [min(limit, points - first) for first in range(0, points, limit)]
    return [ArrayChunk(index * limit, count, f"0-{count - 1}{mark}") for index, count in enumerate(counts)]


def resource_request(settings: Settings, ranks: int | None) -> ResourceRequest:
    """Computes ranks and nodes from the settings.

    The number of ranks is nodes times ranks per node if one of them is given above the job file, or if the job file has
    no `ranks`. Otherwise they only describe the placement of the job's ranks.

    Args:
        settings: all settings.
        ranks: `ranks` of the job file, if given.

    Raises:
        InputError: the numbers contradict each other or the site's limits.
    """
    nodes, each, cores = settings["nodes"], settings["ntasks_per_node"], settings["cores_per_node"]
    if each is None and cores is not None:
        each = max(cores // (settings["cpus_per_task"] or 1), 1)
    asked = max(settings.level("nodes"), settings.level("ntasks_per_node")) > Level.JOB_FILE
    if nodes is not None and each is not None and (asked or ranks is None):
        ranks = nodes * each
    ranks = ranks or nodes or 1
    if nodes is None and each is not None:
        nodes = -(-ranks // each)
    problems = []
    if nodes is not None and not nodes <= ranks <= nodes * (each or ranks):
        text = f"{ranks} ranks do not fit {nodes} nodes" + (f" x {each} = {nodes * each}" if each else "")
        problems.append(Problem("ranks", f"{text}; change `ranks`, or --nodes and --ntasks-per-node"))
    for key, limit, shown in (("nodes", "max_nodes", str), ("time", "max_time", time_text)):
        value = nodes if key == "nodes" else settings["time"]
        if value is not None and settings[limit] is not None and value > settings[limit]:
            source = settings.source(limit)
            where = "" if source is None else source.location(limit)
            problems.append(
                Problem(key, f"{shown(value)} is more than the {shown(settings[limit])} of {where} ({limit})")
            )
    problems += _unfit_stage(settings)
    if problems:
        raise InputError(problems)
    return ResourceRequest(ranks, nodes, each)


_IN_TEMPLATES = ("modules", "setup", "container", "python", "scratch", "stage", "cpus_per_task", "gpus_per_task")


def _unfit_stage(settings: Settings) -> list[Problem]:
    """Returns a problem if `scratch` is no folder of a node, or the environment cannot be copied there for `stage`."""
    source = settings.source("scratch")
    if source is not None and settings["scratch"] and not settings["scratch"].startswith(("/", "$")):
        text = f"{settings['scratch']} is relative to a folder that all nodes share; write a path of a node's own disk"
        return [Problem(source.location("scratch"), text)]
    source = settings.source("stage")
    if source is None or not source.values["stage"]:
        return []
    where = source.location("stage")
    if settings["container"]:
        return [Problem(where, "a container has its own environment, which is not copied: leave `stage` out")]
    if not settings["scratch"]:
        return [Problem(where, "the copy needs a folder on each node: give `scratch` as well, such as /tmp/$USER")]
    return []


def render(batch: BatchScript, settings: Settings, title: Sequence[str]) -> str:
    """Returns the text of the script.

    Args:
        batch: the jobs to run.
        settings: the settings.
        title: comment lines at the top of the script.

    Raises:
        InputError: a directive is invalid.
        EnvironmentUnfitError: the templates or jinja2 are not installed.
    """
    import jinja2

    file = shipped("slurm", f"{batch.template}.sbatch")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(file.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - a shell script; the filter `sh` quotes values
    )
    environment.filters["sh"] = lambda value: shlex.quote(str(value))
    directives = dict(_directives(batch, settings))
    return environment.get_template(file.name).render(
        directives=[f"--{name}" + (f"={value}" if value else "") for name, value in directives.items()],
        title=title,
        run=batch.directory,
        ranks=batch.resources.ranks,
        points=batch.points,
        width=len(batch.points[0][0]) if batch.points else 0,
        launcher=launcher(settings["launcher"]),
        by_srun=settings["launcher"] == "srun",
        stager=launcher("stage") if settings["stage"] else "",
        here=sys.executable,  # the container of the ranks may lack hpcmtl and sbatch
        settings={key: settings[key] for key in _IN_TEMPLATES},
        stop_seconds=_stop_seconds(settings),
    )


def _directives(batch: BatchScript, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yields names and values of the directives, after each level from the site up has removed or added some."""
    found: dict[str, tuple[str, Level]] = {}
    for name, value in _named_directives(batch, settings).items():
        if value is not None:
            found[name] = (str(value), settings.level(name.replace("-", "_")))
    for source in settings.sources:
        for name in map(_long_name, source.values.get("omit", ())):
            if name in found and found[name][1] <= source.level:
                del found[name]
        for line in source.values.get("extra", ()):
            name, value = _parsed(line, source.location("extra"))
            for other in {"requeue", "no-requeue"} - {name} if name in {"requeue", "no-requeue"} else ():
                found.pop(other, None)
            if name not in found or found[name][1] <= source.level:
                found[name] = (value, source.level)
    yield from ((name, value) for name, (value, _) in found.items())


def _named_directives(batch: BatchScript, settings: Settings) -> Mapping[str, Any]:
    """Returns the directives that follow from settings and facts; None for unused ones."""
    again = settings["requeues"] > 0 and settings["restart"] == "requeue"
    logs = str(batch.directory / "logs").replace("%", "%%")  # Slurm expands % sequences
    name = "slurm-%A_%a" if batch.template == "array" else "slurm-%j"
    return {
        "job-name": batch.job,
        "array": _first_array(batch, settings),
        "account": settings["account"],
        "partition": settings["partition"],
        "qos": settings["qos"],
        "nodes": batch.resources.nodes,
        "ntasks": batch.resources.ranks,
        "ntasks-per-node": batch.resources.per_node,
        "cpus-per-task": settings["cpus_per_task"],
        "gpus-per-task": settings["gpus_per_task"],
        "time": None if settings["time"] is None else time_text(settings["time"]),
        "signal": f"B:USR1@{_stop_seconds(settings)}",
        "requeue" if again else "no-requeue": "",
        "open-mode": "append",  # else the output of an attempt is lost when the job is requeued
        "output": _quoted(f"{logs}/{name}.out"),
        "error": _quoted(f"{logs}/{name}.err"),
    }


def _first_array(batch: BatchScript, settings: Settings) -> str | None:
    """Returns the array directive of the script itself, for a manual submission; `sbatch --array` overrides it."""
    if batch.template != "array":
        return None
    return array_chunks(len(batch.points), settings["max_array_size"], settings["throttle"])[0].array


def _stop_seconds(settings: Settings) -> int:
    asked, limit = settings["stop_seconds"], settings["time"]
    if asked is not None and limit is not None and asked >= limit:
        text = f"{asked} s are not before the end of a time limit of {limit} s; leave it out, or write less"
        raise InputError([Problem("stop_seconds", text)])
    return int(asked or stop_seconds(limit))


def _quoted(path: str) -> str:
    return path if re.fullmatch(r"[\w@%+=:,./-]+", path) else f'"{path}"'


def _long_name(name: str) -> str:
    bare = name.lstrip("-")
    return _SHORT.get(bare, bare)


def _parsed(line: str, where: str) -> tuple[str, str]:
    """Returns name and value of ``--mem=4G``, ``--mem 4G``, ``-C icelake``, ``#SBATCH --exclusive``."""
    text = line.removeprefix("#SBATCH").strip()
    match = re.fullmatch(r"--([a-z][a-z-]*)(?:(?:=|\s+)(.+))?|-([A-Za-z])\s*(\S.*)?", text)
    if match is None:
        message = f"{line!r} is no directive; write --name=value, e.g. --constraint=icelake"
        raise InputError([Problem(where, message)])
    return (match[1], match[2] or "") if match[1] else (_SHORT.get(match[3], match[3]), match[4] or "")
