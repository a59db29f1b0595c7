"""Reads a job file into a `Job`, or reports all its problems at once, with file, key and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.check import check_job
from hpcmtl.jobfile.defaults import in_defaults
from hpcmtl.jobfile.explanations import explained
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.read import AmbiguousValuesError, read_values
from hpcmtl.jobfile.readable import readable_parts
from hpcmtl.jobfile.schema import Job
from hpcmtl.jobfile.soundness import SoundPart, sound_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hpcmtl.jobfile.findings import Finding

Path_ = tuple[str, ...]


def load_job(file: Path, changes: Mapping[str, Any] | None = None) -> Job:
    """Reads and checks a job file (YAML, or TOML by its ending).

    Args:
        file: the job file.
        changes: top-level keys with values that replace the file's.

    Returns:
        The job, with the values under `defaults` filled into its tasks.

    Raises:
        InputError: all problems of the file at once (UnsoundJobError if it is valid YAML or TOML).
    """
    try:
        raw, lines = read_values(file)
    except AmbiguousValuesError as error:
        raise _joined(error, {**error.values, **(changes or {})}, str(file)) from None
    return parse_job({**raw, **(changes or {})}, str(file), lines)


def _joined(error: AmbiguousValuesError, raw: Mapping[str, Any], where: str) -> UnsoundJobError:
    """Returns the problems of ambiguous values together with all others of the job."""
    known = {problem.where for problem in error.problems}
    try:
        job = parse_job(raw, where, error.lines)
    except UnsoundJobError as others:
        more = [problem for problem in others.problems if problem.where not in known]
        return UnsoundJobError([*error.problems, *more], others.readable, others.sound, others.unread)
    return UnsoundJobError(error.problems, job, SoundPart(job))


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


def parse_job(raw: Any, where: str = "job", lines: Mapping[Path_, int] | None = None) -> Job:
    """Checks the values of a job from a file or from code, and fills in the defaults.

    Raises:
        UnsoundJobError: all problems at once.
    """
    job, found, unread = _validate(raw)
    if job is None:
        raise UnsoundJobError(locate(found, where, lines), None, None)
    job = with_defaults(job)
    more = check_job(job, unread)
    if found or more:
        told = locate([*found, *in_defaults(job, more)], where, lines)
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


def locate(found: Iterable[tuple[Path_, str]], where: str, lines: Mapping[Path_, int] | None = None) -> list[Problem]:
    """Adds to each finding the file, the key, and the line of the nearest key that is in the file."""
    problems = []
    for path, message in found:
        near = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in (lines or {})), None)
        line = lines[near] if lines and near else None
        problems.append(Problem(f"{where}: {'.'.join(path)}" if path else where, message, line))
    return problems


def line_numbers(file: Path) -> dict[Path_, int]:
    """Returns the line of every key of a job file, for problems that are found after loading."""
    try:
        return read_values(file)[1]
    except AmbiguousValuesError as error:
        return error.lines
