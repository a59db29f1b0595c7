"""Reads a job file into a `Job`, or reports all its problems at once, with file, key and line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.changes import changed
from hpcmtl.jobfile.check import check_job
from hpcmtl.jobfile.composition import JobValues, read_job
from hpcmtl.jobfile.defaults import in_defaults
from hpcmtl.jobfile.earlier_runs import with_earlier_runs
from hpcmtl.jobfile.expand import expanded
from hpcmtl.jobfile.explanations import explained
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.readable import readable_parts
from hpcmtl.jobfile.schema import Job
from hpcmtl.jobfile.soundness import SoundPart, sound_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.read import Place

Path_ = tuple[str, ...]


def load_job(file: Path, replaced: Mapping[str, Any] | None = None, changes: Mapping[str, Any] | None = None) -> Job:
    """Reads and checks a job file (YAML, or TOML by its ending), with the file that it extends.

    Args:
        file: the job file.
        replaced: top-level keys with values that replace the file's.
        changes: keys with dots and values that replace the file's, see `changed`.

    Returns:
        The job, with the values under `defaults` filled into its tasks.

    Raises:
        InputError: all problems of the file at once (UnsoundJobError if it is valid YAML or TOML).
    """
    found = read_job(file)
    values = JobValues({**changed(found.values, changes or {}), **(replaced or {})}, found.places, found.problems)
    if values.problems:
        raise _joined(values, file)
    return parse_job(dict(values.values), str(file), values.places, file.parent)


def _joined(found: JobValues, file: Path) -> UnsoundJobError:
    """Returns the problems of ambiguous values together with all others of the job."""
    known = {problem.where for problem in found.problems}
    try:
        job = parse_job(dict(found.values), str(file), found.places, file.parent)
    except UnsoundJobError as others:
        more = [problem for problem in others.problems if problem.where not in known]
        return UnsoundJobError([*found.problems, *more], others.readable, others.sound, others.unread)
    return UnsoundJobError(found.problems, job, SoundPart(job))


class UnsoundJobError(InputError):
    """Reports the problems of a job, and keeps its sound part for further checks.

    Attributes:
        readable: the job without the tasks that the schema refuses; None if none of it can be read.
        sound: its part that further checks can look at; None if none of it can be read.
        unread: names of the tasks that the schema refuses.
    """

    def __init__(
        self, problems: Iterable[Problem], readable: Job | None, sound: SoundPart | None, unread: Iterable[str] = ()
    ) -> None:
        super().__init__(problems)
        self.readable, self.sound, self.unread = readable, sound, tuple(unread)

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        """Reduces the error to its problems, which alone travel between ranks."""
        return (InputError, (self.problems,))


def parse_job(
    raw: Any, where: str = "job", places: Mapping[Path_, Place] | None = None, folder: Path | None = None
) -> Job:
    """Checks the values of a job from a file or from code, and fills in the defaults.

    Args:
        raw: the values.
        where: file in messages.
        places: place of each key.
        folder: folder that paths of earlier runs are relative to; None for the working directory.

    Raises:
        UnsoundJobError: all problems at once.
    """
    raw = with_earlier_runs(raw)
    job, found, unread = _validate(raw)
    if job is None:
        raise UnsoundJobError(locate(found, where, places), None, None)
    job = placed(with_defaults(expanded(job)), folder or Path())
    more = check_job(job, unread)
    if found or more:
        told = locate([*found, *in_defaults(job, more)], where, places)
        raise UnsoundJobError(told, job, sound_part(job, more, unread), unread.keys() & raw["tasks"].keys())
    return job


def _validate(raw: Any) -> tuple[Job | None, list[Finding], dict[str, tuple[str, ...]]]:
    """Validates a job; if that fails, validates it again without the tasks and sections with errors.

    Returns:
        The job or the rest of it; the findings; the needs of the tasks left out, as far as they can be read.
    """
    try:
        return Job.model_validate(raw), [], {}
    except ValidationError as error:
        found = explained(raw, error)
    for rest, unread in readable_parts(raw, found):
        try:
            return Job.model_validate(rest), found, unread
        except ValidationError:
            continue
    return None, found, {}


def with_defaults(job: Job) -> Job:
    """Fills the keys that a task leaves open: from `defaults`, and then by its kind."""
    defaults = {name: getattr(job.defaults, name) for name in type(job.defaults).model_fields}
    tasks = {}
    for name, task in job.tasks.items():
        open_fields = [key for key in defaults if key in type(task).model_fields and getattr(task, key) is None]
        tasks[name] = task.model_copy(update={key: defaults[key] for key in open_fields})
    filled = job.model_copy(update={"tasks": tasks})
    return filled.model_copy(update={"tasks": {name: kind_of(filled, name).completed(filled, name) for name in tasks}})


def placed(job: Job, folder: Path) -> Job:
    """Returns a job whose tasks name no path that is relative to the folder of the job file."""
    tasks = {name: kind_of(job, name).placed(job, name, folder) for name in job.tasks}
    return job if tasks == job.tasks else job.model_copy(update={"tasks": tasks})


def locate(
    found: Iterable[tuple[Path_, str]], where: str, places: Mapping[Path_, Place] | None = None
) -> list[Problem]:
    """Adds to each finding the key, and file and line of the nearest key that is in a file; else the file `where`."""
    problems = []
    for path, message in found:
        file, line = _place_of(path, places or {}) or (where, None)
        problems.append(Problem(f"{file}: {'.'.join(path)}" if path else file, message, line))
    return problems


def _place_of(path: Path_, places: Mapping[Path_, Place]) -> Place | None:
    """Returns the place of the nearest key; one of several tasks that replace one has the keys of that one."""
    written = path
    while len(written) > 1 and written[:2] not in places and "." in written[1]:
        written = (written[0], written[1].rpartition(".")[0], *written[2:])
    given = written if written[:2] in places else path
    return next((places[given[:n]] for n in range(len(given), 0, -1) if given[:n] in places), None)


def places_of(file: Path) -> Mapping[Path_, Place]:
    """Returns the place of every key of a job file, for problems that are found after loading."""
    return read_job(file).places
