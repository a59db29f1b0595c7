"""Makes the checks that `validate` and `run` share: reads data once, builds networks, imports users' callables.

As a program of its own (``python -m hpcmtl.pipeline.run.preflight JOB TASK...``) it checks some tasks of a job file
beside a running job. Users' code, the memory of the networks and the random numbers that they draw must not disturb the
process of that job. It prints the problems as JSON.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.contract import SPLIT
from hpcmtl.data.hdf5 import describe
from hpcmtl.data.sources import Source, disagreements
from hpcmtl.data.values import pass_over
from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem
from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.defaults import in_defaults
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.jobfile.soundness import is_tolerated
from hpcmtl.jobfile.views import is_input
from hpcmtl.launch.interpreter import SAFE_PATH
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.framework_environment import prepare_environment
from hpcmtl.pipeline.run.increment_preflight import increment_findings
from hpcmtl.pipeline.run.label_preflight import label_findings
from hpcmtl.pipeline.run.metric_preflight import metric_findings
from hpcmtl.pipeline.run.sequence_preflight import sequence_findings
from hpcmtl.pipeline.run.source_preflight import source_findings
from hpcmtl.pipeline.run.transform_preflight import transform_findings
from hpcmtl.pipeline.run.value_preflight import value_findings
from hpcmtl.training.kinds.value_checks import missing_labels
from hpcmtl.training.network_checks import check_networks
from hpcmtl.training.schedule import require_pure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from hpcmtl.data.value_summary import ValueSummary
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.views import JobView
    from hpcmtl.networks.objective import Missing
    from hpcmtl.pipeline.prepare import Prepared

SECONDS = 600.0
"""Seconds after which the checks of a subprocess are given up."""
_MPI = ("OMPI_", "PMIX_", "PRTE_", "PMI_", "HYDRA_")  # variables by which a program takes itself for a rank


@dataclass(frozen=True, kw_only=True)
class Examined:
    """The outcome of the checks.

    Attributes:
        problems: problems with their places.
        unchecked: task -> reason for which its network could not be built here.
        hidden: tasks whose networks could not be checked because of a problem of a network that they use.
    """

    problems: tuple[Problem, ...]
    unchecked: Mapping[str, str]
    hidden: tuple[str, ...] = ()


def examine(prepared: Prepared, tasks: Collection[str], begun: Collection[str] = ()) -> Examined:
    """Reads all data of some tasks once, imports all callables, and builds every network of the job.

    `hpcmtl validate` and `hpcmtl run` share these checks.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        begun: those of them that have begun, see `value_findings`.
    """
    problems: list[Problem] = []
    summaries = _read_data(prepared, tasks, problems)
    # First, because it opens the frameworks, which users' modules import, with the workarounds that some of them need.
    networks = check_networks(prepared.job, prepared.arrays, tasks, prepared.partly)
    found = [
        finding
        for name in prepared.job.tasks
        for finding in (*_bad_callables(prepared, name), *_bad_schedules(prepared, name))
    ]
    found += value_findings(prepared, tasks, summaries, networks, begun)
    found += metric_findings(prepared, tasks, networks)
    found += transform_findings(prepared, tasks, summaries)
    found += increment_findings(prepared, tasks, networks)
    found += sequence_findings(prepared, tasks, summaries)
    found += source_findings(prepared, [name for name in tasks if name not in begun], summaries)
    whole = [name for name in tasks if name not in {*networks.partly, *networks.hidden, *begun}]
    found += label_findings(prepared, whole, summaries, found)
    shown = [each for each in networks.found if not is_tolerated(each[0], begun)]
    return Examined(
        problems=(*problems, *prepared.located([*found, *in_defaults(prepared.job, shown)])),
        unchecked=networks.unchecked,
        hidden=tuple(name for name in prepared.job.tasks if name in networks.hidden),
    )


def preflight(prepared: Prepared, tasks: Collection[str], begun: Collection[str] = ()) -> None:
    """Makes the checks of `examine`, and refuses a job with problems.

    Raises:
        InputError: all problems at once.
    """
    examined = examine(prepared, tasks, begun)
    if examined.problems:
        raise InputError(examined.problems)


def _read_data(
    prepared: Prepared, tasks: Collection[str], problems: list[Problem]
) -> dict[tuple[Path, str], ValueSummary]:
    """Reads all values that some tasks read; returns what was seen by file and dataset, and adds the problems."""
    used: dict[Path, set[str]] = {}
    for name in tasks:
        for path, reference in references_of(prepared.job, name):
            origin, dataset = reference.split("/", 1)
            if origin in prepared.files and not (name in prepared.partly and not is_input(path)):
                used.setdefault(prepared.files[origin], set()).add(dataset)
    summaries: dict[tuple[Path, str], ValueSummary] = {}
    missing: dict[Path, dict[str, set[Missing]]] = {}
    for reference, numbers in missing_labels(prepared.job, tasks).items():
        origin, dataset = reference.split("/", 1)
        if origin in prepared.files:
            missing.setdefault(prepared.files[origin], {}).setdefault(dataset, set()).update(numbers)
    for file, names in used.items():
        try:
            found, wrong = pass_over(file, [*sorted(names), SPLIT], missing=missing.get(file, {}))
        except InputError as error:
            problems += error.problems
        else:
            problems += wrong
            summaries.update({(file, name): summary for name, summary in found.items()})
    intact = {file for file, name in summaries if name == SPLIT}
    whole = [name for name in tasks if name not in prepared.partly and _has_network(prepared, name)]
    read = [(view, name) for name in whole for view in kind_of(prepared.job, name).views(prepared.job, name)]
    for paths in dict.fromkeys(frozenset(_files_of_rows(prepared, *each)) & intact for each in read):
        problems += [each for each in _other_splits(sorted(paths)) if each not in problems]
    return summaries


def _has_network(prepared: Prepared, name: str) -> bool:
    """Returns true if a task reads its arrays side by side, row by row; a callable may read what it likes."""
    return kind_of(prepared.job, name).framework(prepared.job, name) is not None


def _files_of_rows(prepared: Prepared, view: JobView, name: str) -> Iterator[Path]:
    """Yields the data files whose split the rows have that a task reads side by side in one view of its job."""
    for _, reference in references_of(view.job, name):
        yield from _files_of_array(prepared, reference)


def _files_of_array(prepared: Prepared, reference: str) -> Iterator[Path]:
    """Yields the data files whose split an array has: those of the inputs of the network that makes it.

    There are none where only a run tells.
    """
    origin = reference.split("/", 1)[0]
    if origin in prepared.files:
        yield prepared.files[origin]
    elif origin in prepared.job.tasks:
        kind, known = kind_of(prepared.job, origin), prepared.arrays.get(reference, UNKNOWN)
        if kind.framework(prepared.job, origin) is not None and known.split is not None:
            for read in kind.network_inputs(prepared.job, origin).values():
                yield from _files_of_array(prepared, read)


def _other_splits(paths: Sequence[Path]) -> list[Problem]:
    """Returns the files whose split is not that of the first; others of another length are reported elsewhere."""
    described = [(Source("", path, SPLIT), describe(path)) for path in paths]
    alike = [each for each in described if each[1].samples == described[0][1].samples]
    return disagreements(alike) if alike else []


def _bad_callables(prepared: Prepared, name: str) -> Iterator[Finding]:
    """Yields the callables of a task that cannot be imported, or not be called with what they are given."""
    for each in kind_of(prepared.job, name).framework_needs(prepared.job, name, prepared.arrays).callables:
        path, reference = ("tasks", name, each.key), each.reference
        try:
            found = resolve(reference)
        except InputError as error:
            yield from ((path, f"{problem.where}: {problem.message}") for problem in error.problems)
            continue
        if not callable(found):
            yield path, f"{reference} is a {type(found).__name__}, not a function"
            continue
        with suppress(ValueError):  # some functions of C have no signature
            try:
                inspect.signature(found).bind(*each.arguments)
            except TypeError as error:
                count = "one argument" if len(each.arguments) == 1 else f"{len(each.arguments)} arguments"
                yield path, f"{reference} cannot be called with {count}, {' and '.join(each.arguments)}: {error}"


def _bad_schedules(prepared: Prepared, name: str) -> Iterator[Finding]:
    """Yields a schedule of the user's that cannot be imported, gives no part of a rate, or remembers its calls."""
    optimizer = kind_of(prepared.job, name).framework_needs(prepared.job, name, prepared.arrays).optimizer
    if optimizer is None or ":" not in optimizer.schedule.kind:
        return
    try:
        require_pure(optimizer.schedule.kind)
    except InputError as error:
        yield from ((("tasks", name, "optimizer"), f"{each.where}: {each.message}") for each in error.problems)


def preflight_subprocess(job_file: Path, folders: Collection[str], tasks: Collection[str]) -> None:
    """Check some tasks of a job file in a process of its own.

    Args:
        job_file: file of the whole job.
        folders: folders of users' modules.
        tasks: names of the new tasks.

    Raises:
        InputError: all problems at once.
        EnvironmentUnfitError: the process failed, or took longer than `SECONDS`.
    """
    environ = {key: value for key, value in os.environ.items() if not key.startswith(_MPI)}
    environ["PYTHONPATH"] = os.pathsep.join([*filter(None, sys.path), *folders])
    environ["PYTHONSAFEPATH"] = SAFE_PATH
    command = [sys.executable, "-m", "hpcmtl.pipeline.run.preflight", str(job_file), *tasks]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentUnfitError(f"the examination of {', '.join(tasks)} took over {SECONDS:g} s") from error
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise EnvironmentUnfitError(f"the examination of {', '.join(tasks)} failed: {last}")
    problems = json.loads(done.stdout.strip().splitlines()[-1])
    if problems:
        raise InputError(Problem(**problem) for problem in problems)


def refuse_new_environment(prepared: Prepared) -> None:
    """Refuses tasks that need other environment variables than those of the running job, which this process has.

    Raises:
        InputError: a variable would have to be set before the start.
    """
    needs = prepare_environment(prepared)
    if needs.reason:
        wanted = " ".join(f"{name}={value}" for name, value in needs.variables.items())
        text = f"{needs.reason}. The running job has begun otherwise: start the task as a job of its own"
        raise InputError([Problem("tasks", f"{text}, or start the job with {wanted}")])


def main() -> None:
    """Check, and print a list of problems."""
    job_file, *tasks = sys.argv[1:]
    problems: list[Problem] = []
    try:
        prepared = prepare(Path(job_file))
        refuse_new_environment(prepared)
        preflight(prepared, tasks)
    except InputError as error:
        problems = list(error.problems)
    print(json.dumps([asdict(problem) for problem in problems]))  # noqa: T201 - read by `preflight_subprocess`


if __name__ == "__main__":
    main()
