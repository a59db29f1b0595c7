"""Loads, checks and plans a job without running it; needs neither MPI nor a framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.data.builders import how_to_make
from hpcmtl.data.hdf5 import describe
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.check import sound_part
from hpcmtl.jobfile.load import UnsoundJobError, line_numbers, load_job, locate, parse_job
from hpcmtl.jobfile.references import check_datasets, references_of
from hpcmtl.jobfile.schema import Job
from hpcmtl.jobfile.shapes import arrays_of
from hpcmtl.layerplan.solve.exact import load_solver
from hpcmtl.layerplan.solve.policies import POLICIES, make_plan
from hpcmtl.taskgraph.graph import build_graph, topological_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.layerplan.model.speedup import Speedups
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.taskgraph.graph import TaskGraph


@dataclass(frozen=True)
class RawJob:
    """A job as plain values that are not checked yet.

    Attributes:
        values: values as in a job file; paths of data files are absolute or relative to the working directory.
        where: name of the file in messages.
        lines: line of each key in that file.
    """

    values: Mapping[str, Any]
    where: str
    lines: Mapping[tuple[str, ...], int]


@dataclass(frozen=True)
class Prepared:
    """A sound job, and the facts about it that are known before it runs.

    Attributes:
        job: job with its defaults filled in.
        files: data name -> HDF5 file.
        arrays: all arrays by reference, those that tasks publish included.
        graph: tasks and edges, with layers.
        modules: folders of users' Python modules.
        source: job file, by which problems are located; None for a job from another place.
    """

    job: Job
    files: Mapping[str, Path]
    arrays: Mapping[str, ArraySpec]
    graph: TaskGraph
    modules: tuple[Path, ...] = ()
    source: Path | None = None

    def located(self, found: Sequence[Finding]) -> list[Problem]:
        """Returns problems with their places in the job file."""
        if self.source is None or not found:
            return locate(found, "job")
        return locate(found, str(self.source), line_numbers(self.source))

    def resolved(self) -> dict[str, Any]:
        """Returns the job as plain values with defaults filled in and absolute paths, as in `job.yaml`."""
        values = self.job.model_dump(mode="json", by_alias=True, exclude_none=True)
        paths = {
            "data": {name: str(path) for name, path in self.files.items()},
            "modules": list(map(str, self.modules)),
        }
        return {**values, **paths}


class UnpreparedJobError(InputError):
    """Reports the problems of a job, and keeps its sound part for further checks.

    Attributes:
        rest: the tasks without problems that need no task with problems; None if there are none.
    """

    def __init__(self, problems: Iterable[Problem], rest: Prepared | None) -> None:
        super().__init__(problems)
        self.rest = rest

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        """Reduces the error to its problems, which alone travel between ranks."""
        return (InputError, (self.problems,))


def prepare(
    source: str | Path | Job | RawJob | Mapping[str, Any], ranks: int | None = None, policy: str | None = None
) -> Prepared:
    """Loads a job and checks it as far as possible without running it.

    Args:
        source: a job file, a job made in code, or plain values as in a file. The data files of a job made in code, or
            of plain values, are relative to the working directory.
        ranks: number of ranks; None for the job's own.
        policy: planning policy; None for the job's own.

    Raises:
        InputError: all problems at once.
        EnvironmentUnfitError: the policy needs a library that is not installed.
    """
    source = _source(source)
    changes = {key: value for key, value in {"ranks": ranks, "policy": policy}.items() if value is not None}
    where, base = _origin(source)
    problems, readable, sound = _parsed(source, changes)
    if readable is None or sound is None:
        raise InputError(problems)
    files = {name: (base / path).resolve() for name, path in readable.data.items()}
    described, unreadable = _describe(files)
    arrays, misfits = arrays_of(sound, described, _order(sound))
    found = [*unreadable, *check_datasets(readable, described), *misfits]
    if readable.policy not in POLICIES:
        found.append((("policy",), f"unknown policy {readable.policy!r}{nearest(readable.policy, POLICIES)}"))
    if readable.policy == "exact":
        load_solver()  # before any framework is
    lines = source.lines if isinstance(source, RawJob) else None
    problems += locate(found, where, line_numbers(source) if found and isinstance(source, Path) else lines)
    modules = tuple((base / folder).resolve() for folder in sound.modules)
    file = source if isinstance(source, Path) else None
    if problems:
        rest = _rest(sound, found)
        kept = Prepared(rest, files, arrays, build_graph(rest, arrays), modules, file) if rest.tasks else None
        raise UnpreparedJobError(problems, kept)
    return Prepared(sound, files, arrays, build_graph(sound, arrays), modules, file)


def _source(given: Any) -> Path | Job | RawJob:
    """Returns the source of a job in one of its forms.

    Raises:
        InputError: it has no form of a job.
    """
    if isinstance(given, Path | Job | RawJob):
        return given
    if isinstance(given, str):
        return Path(given)
    if isinstance(given, Mapping):
        return RawJob(dict(given), "job", {})
    text = f"found a {type(given).__name__}; give the path of a job file, a hpcmtl.Job, or a mapping with its keys"
    raise InputError([Problem("job", text)])


def _parsed(source: Path | Job | RawJob, changes: Mapping[str, Any]) -> tuple[list[Problem], Job | None, Job | None]:
    """Returns the problems of a job without its data, the tasks that can be read, and those without problems."""
    try:
        if isinstance(source, RawJob):
            job = parse_job({**source.values, **changes}, source.where, source.lines)
        elif isinstance(source, Job):
            job = parse_job({**source.model_dump(by_alias=True), **changes})
        else:
            job = load_job(source, changes)
    except UnsoundJobError as error:
        return list(error.problems), error.readable, error.sound
    return [], job, job


def _rest(sound: Job, found: Sequence[Finding]) -> Job:
    """Returns the tasks of a job that neither have problems nor read a file with problems, nor need such a task."""
    unread = {path[1] for path, _ in found if path[0] == "data"}
    more = [
        (("tasks", name), "")
        for name in sound.tasks
        if unread & {reference.split("/", 1)[0] for _, reference in references_of(sound, name)}
    ]
    rest = sound_part(sound, [*found, *more])
    merge = {key: merge for key, merge in rest.merge.items() if set(merge.tasks) <= rest.tasks.keys()}
    return rest.model_copy(update={"merge": merge})


def _origin(source: Path | Job | RawJob) -> tuple[str, Path]:
    """Returns the name of a job in messages, and the folder to which its data files are relative."""
    if isinstance(source, RawJob):
        return source.where, Path()
    return ("job", Path()) if isinstance(source, Job) else (str(source), source.parent)


def _order(job: Job) -> tuple[str, ...]:
    return topological_order({name: task.needs for name, task in job.tasks.items()})


def plan(prepared: Prepared, speedups: Speedups | None = None) -> LayerPlan:
    """Plans a prepared job.

    Args:
        prepared: the job.
        speedups: predicts times; from sizes alone by default, with a core for each rank.

    Raises:
        InputError: if tasks need more ranks than there are.
    """
    return make_plan(prepared.graph, prepared.job.ranks, prepared.job.policy, speedups=speedups)


def _describe(files: Mapping[str, Path]) -> tuple[dict[str, ArraySpec], list[Finding]]:
    """Describes every dataset of every data file by reference; returns the findings beside them."""
    arrays: dict[str, ArraySpec] = {}
    found: list[Finding] = []
    for name, path in files.items():
        try:
            description = describe(path)
        except InputError as error:
            remedy = "" if path.exists() else how_to_make(path)
            found += [(("data", name), f"{problem}{remedy}") for problem in error.problems]
            continue
        split = (description.split_sizes["train"], description.split_sizes["val"], description.split_sizes["test"])
        for dataset in description.datasets.values():
            scalars = max(description.samples, 1)
            for extent in dataset.shape:
                scalars *= extent
            arrays[f"{name}/{dataset.name}"] = ArraySpec(
                samples=description.samples,
                shape=dataset.shape,
                kind=dataset.dtype.kind,
                classes=len(dataset.classes) if dataset.classes else None,
                itemsize=dataset.bytes // scalars,
                split=split,
            )
    return arrays, found
