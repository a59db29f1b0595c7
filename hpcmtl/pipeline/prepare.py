"""Loads, checks and plans a job without running it; needs neither MPI nor a framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hpcmtl.data.builders import how_to_make
from hpcmtl.data.hdf5 import describe
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.changes import blamed, changed
from hpcmtl.jobfile.load import UnsoundJobError, load_job, locate, parse_job, places_of
from hpcmtl.jobfile.references import check_datasets
from hpcmtl.jobfile.schema import Job
from hpcmtl.jobfile.shapes import arrays_of
from hpcmtl.jobfile.soundness import SoundPart, is_tolerated, sound_part
from hpcmtl.layerplan.solve.exact import load_solver
from hpcmtl.layerplan.solve.policies import POLICIES, make_plan
from hpcmtl.taskgraph.graph import build_graph, topological_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.read import Place
    from hpcmtl.layerplan.model.speedup import Speedups
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.taskgraph.graph import TaskGraph


@dataclass(frozen=True)
class RawJob:
    """A job as plain values that are not checked yet.

    Attributes:
        values: values as in a job file.
        where: name of the file in messages.
        places: place of each key.
        base: folder to which paths are relative.
    """

    values: Mapping[str, Any]
    where: str
    places: Mapping[tuple[str, ...], Place] = field(default_factory=dict)
    base: Path = Path()


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
        partly: tasks of an unsound job whose networks alone can be checked, see `SoundPart`.
    """

    job: Job
    files: Mapping[str, Path]
    arrays: Mapping[str, ArraySpec]
    graph: TaskGraph
    modules: tuple[Path, ...] = ()
    source: Path | None = None
    partly: frozenset[str] = frozenset()

    def located(self, found: Sequence[Finding]) -> list[Problem]:
        """Returns problems with their places in the job file."""
        if self.source is None or not found:
            return locate(found, "job")
        return locate(found, str(self.source), places_of(self.source))

    def resolved(self) -> dict[str, Any]:
        """Returns the job as plain values with defaults filled in and absolute paths, as in `job.yaml`."""
        values = self.job.model_dump(mode="json", by_alias=True, exclude_none=True)
        values.pop("sweep", None)  # this job is one run of it
        paths = {
            "data": {name: str(path) for name, path in self.files.items()},
            "modules": list(map(str, self.modules)),
        }
        return {**values, **paths}


class UnpreparedJobError(InputError):
    """Reports the problems of a job, and keeps the part of it that further checks can look at.

    Attributes:
        rest: that part; None if there is none.
        left: tasks that are not in it, or only with their networks.
    """

    def __init__(self, problems: Iterable[Problem], rest: Prepared | None, left: Iterable[str] = ()) -> None:
        super().__init__(problems)
        self.rest, self.left = rest, tuple(left)

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        """Reduces the error to its problems, which alone travel between ranks."""
        return (InputError, (self.problems,))


JobSource: TypeAlias = "str | Path | Job | RawJob | Mapping[str, Any]"


def prepare(
    source: JobSource,
    ranks: int | None = None,
    policy: str | None = None,
    begun: Collection[str] = (),
    *,
    changes: Mapping[str, Any] | None = None,
) -> Prepared:
    """Loads a job and checks it as far as possible without running it.

    Args:
        source: a job file, a job made in code, or plain values as in a file. The data files of a job made in code, or
            of a mapping, are relative to the working directory.
        ranks: number of ranks; None for the job's own.
        policy: planning policy; None for the job's own.
        begun: tasks that have begun in an earlier attempt, see `is_tolerated`.
        changes: keys with dots, and the values that they have instead; see `changed`.

    Raises:
        InputError: all problems at once.
        EnvironmentUnfitError: the policy needs a library that is not installed.
    """
    source = _source(source)
    replaced = {key: value for key, value in {"ranks": ranks, "policy": policy}.items() if value is not None}
    if not changes:
        return _prepared(source, replaced, {}, begun)
    try:
        return _prepared(source, replaced, changes, begun)
    except UnpreparedJobError as error:
        problems = blamed(error, changes).problems
        raise UnpreparedJobError(problems, error.rest, error.left) from None


def _prepared(
    source: Path | Job | RawJob, replaced: Mapping[str, Any], changes: Mapping[str, Any], begun: Collection[str]
) -> Prepared:
    where, base = _origin(source)
    problems, readable, sound, unread = _parsed(source, replaced, changes)
    if readable is None or sound is None:
        raise UnpreparedJobError(problems, None)
    files = {name: (base / path).resolve() for name, path in readable.data.items()}
    described, unreadable = _describe(files)
    arrays, misfits = arrays_of(sound.job, described, _order(sound.job))
    found = [*unreadable, *check_datasets(readable, described), *filter(sound.concerns, misfits)]
    found = [each for each in found if not is_tolerated(each[0], begun)]
    found += _check_policy(readable.policy)
    places = source.places if isinstance(source, RawJob) else None
    problems += locate(found, where, places_of(source) if found and isinstance(source, Path) else places)
    modules = tuple((base / folder).resolve() for folder in readable.modules)
    file = source if isinstance(source, Path) else None
    rest = _rest(sound, found)
    graph = build_graph(rest.job, arrays)
    kept = Prepared(rest.job, files, arrays, graph, modules, file, rest.partly) if rest.job.tasks else None
    if problems or kept is None:
        left = [*unread, *(name for name in readable.tasks if name not in rest.job.tasks or name in rest.partly)]
        raise UnpreparedJobError(problems, kept, left)
    return kept


def _check_policy(policy: str) -> list[Finding]:
    """Returns what is wrong with a policy; loads what it needs.

    Raises:
        EnvironmentUnfitError: the policy needs a library that is not installed.
    """
    if policy == "exact":
        load_solver()  # its absence is said before any rank begins
    return [] if policy in POLICIES else [(("policy",), f"unknown policy {policy!r}{nearest(policy, POLICIES)}")]


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
        return RawJob(dict(given), "job")
    text = f"found a {type(given).__name__}; give the path of a job file, a hpcmtl.Job, or a mapping with its keys"
    raise InputError([Problem("job", text)])


def _parsed(
    source: Path | Job | RawJob, replaced: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[list[Problem], Job | None, SoundPart | None, tuple[str, ...]]:
    """Returns the problems of a job without its data, what can be read, what can be checked further, unread tasks."""
    try:
        if isinstance(source, RawJob):
            values = {**changed(source.values, changes), **replaced}
            job = parse_job(values, source.where, source.places, source.base)
        elif isinstance(source, Job):
            job = parse_job({**changed(source.model_dump(by_alias=True), changes), **replaced})
        else:
            job = load_job(source, replaced, changes)
    except UnsoundJobError as error:
        return list(error.problems), error.readable, error.sound, error.unread
    return [], job, SoundPart(job), ()


def _rest(sound: SoundPart, found: Sequence[Finding]) -> SoundPart:
    """Returns the part of a job that can be checked in spite of the problems of its files and arrays."""
    if not found and sound.job.tasks and not sound.partly:
        return sound
    unread = {path[1] for path, _ in found if path[0] == "data"}
    rest = sound_part(sound.job, found, unread, sound.partly)
    merge = {key: merge for key, merge in rest.job.merge.items() if set(merge.tasks) <= rest.job.tasks.keys()}
    return SoundPart(rest.job.model_copy(update={"merge": merge}), rest.partly)


def _origin(source: Path | Job | RawJob) -> tuple[str, Path]:
    """Returns the name of a job in messages, and the folder to which its data files are relative."""
    if isinstance(source, RawJob):
        return source.where, source.base
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
                itemsize=-(-dataset.bytes // scalars),  # of a ragged dataset on average, padding included
                split=split,
                ragged=dataset.ragged,
            )
    return arrays, found
