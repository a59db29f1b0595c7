"""Validation of a job: all checks that a run makes before it trains, with all problems at once."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError, InputError, located
from hpcmtl.jobfile.changes import changes_of, require_swept
from hpcmtl.jobfile.resolve import add_module_folders, remove_module_folders
from hpcmtl.pipeline.prepare import UnpreparedJobError, prepare

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hpcmtl.errors import Problem
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.taskgraph.graph import TaskGraph


_NAMED = 12
"""Most tasks that a sentence names."""


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A sound job.

    Attributes:
        job: name of the job.
        graph: its tasks and edges.
        unchecked: sentences about what could not be checked here.
        points: number of runs of its sweep; 1 without one.
    """

    job: str
    graph: TaskGraph
    unchecked: tuple[str, ...]
    points: int = 1


class UnsoundError(InputError):
    """Reports all problems of a job, and what could not be checked because of them, in a line each."""

    def __init__(self, problems: Iterable[Problem], unchecked: Iterable[str] = ()) -> None:
        super().__init__(problems)
        self.args = ("\n".join([*self.args, *(f"not checked: {line}" for line in unchecked)]),)


def validated(
    file: Path, ranks: int | None = None, *, changes: Mapping[str, Any] | None = None, static: bool = False
) -> Validated:
    """Makes all checks of a job that a run makes before it trains.

    Args:
        file: job file.
        ranks: number of ranks; None for the job's own.
        changes: keys with dots, and the values that they have instead; see `changed`.
        static: leave out all that reads data, or imports user code or a framework.

    Raises:
        UnsoundError: all problems of all checks at once.
    """
    problems: list[Problem] = []
    unchecked: Mapping[str, str] = {}
    hidden: tuple[str, ...] = ()
    prepared: Prepared | None
    try:
        prepared = prepare(file, ranks, changes=changes)
    except UnpreparedJobError as error:
        prepared, problems, hidden = error.rest, list(error.problems), error.left
    if prepared is not None and not static:
        from hpcmtl.pipeline.run.framework_environment import prepare_environment
        from hpcmtl.pipeline.run.preflight import examine

        with importable(prepared):
            with suppress(EnvironmentUnfitError):  # without the framework `examine` says what is not checked
                prepare_environment(prepared)
            examined = examine(prepared, list(prepared.job.tasks))
        problems += examined.problems
        unchecked = examined.unchecked
        hidden += examined.hidden
    points = changes_of((), prepared.job.sweep) if prepared is not None and not problems else []
    problems += _of_points(file, ranks, changes or {}, points)
    left = ("data, user code and networks (--static)",) if static else tuple(_by_reason(unchecked))
    if problems or prepared is None:
        raise UnsoundError(problems, (*left, *_hidden(dict.fromkeys(hidden), prepared is not None)))
    return Validated(job=prepared.job.job, graph=prepared.graph, unchecked=left, points=len(points))


def _of_points(
    file: Path, ranks: int | None, changes: Mapping[str, Any], points: Sequence[Mapping[str, Any]]
) -> Iterator[Problem]:
    """Yields the problems of the runs of a sweep, by the checks that import nothing; each once."""
    unfit: list[Problem] = []
    with located(str(file), unfit):
        require_swept(dict.fromkeys(key for point in points for key in point), "sweep.")
    yield from unfit
    seen: set[Problem] = set()
    for point in points:
        try:
            prepare(file, ranks, changes={**changes, **point})
        except InputError as error:
            yield from (problem for problem in error.problems if problem not in seen)
            seen.update(error.problems)


@contextmanager
def importable(prepared: Prepared) -> Iterator[None]:
    """Lets modules in the folders of a job be imported."""
    folders = [str(folder) for folder in prepared.modules]
    add_module_folders(folders)
    try:
        yield
    finally:
        remove_module_folders(folders)


def _hidden(tasks: Collection[str], readable: bool) -> Iterator[str]:
    """Yields the sentence about checks that the problems of a job prevent."""
    if tasks:
        first, more = list(tasks)[:_NAMED], len(tasks) - _NAMED
        names = ", ".join(first) + (f" and {more} more" if more > 0 else "")
        yield f"{'some' if len(first) > 1 else 'the rest'} of {names}, because of these problems"
    elif not readable:
        yield "data and networks, because of these problems"


def _by_reason(unchecked: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each reason, with all tasks that it holds for."""
    for reason in dict.fromkeys(unchecked.values()):
        tasks = [name for name, text in unchecked.items() if text == reason]
        yield f"the networks of {', '.join(tasks)}: {reason}"
