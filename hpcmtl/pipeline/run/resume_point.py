"""The point at which a run that stopped or died is resumed, from its directory."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcmtl.data.fingerprint import changes, read_fingerprints
from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem
from hpcmtl.jobfile.coupling import live_needs, members_with
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.load import locate, places_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.pipeline.prepare import Prepared, prepare
from hpcmtl.pipeline.seals import damaged_artifacts
from hpcmtl.results.events import ArtifactDamaged
from hpcmtl.results.history import TaskHistory
from hpcmtl.results.ledger import is_held
from hpcmtl.results.run_state import RunState, read_run_state
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.status.status import read_status
from hpcmtl.training.session import checkpoints_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job

_log = logging.getLogger(__name__)

# Keys of a task that may change after it has begun: none of them affects the computed values, except for rounding.
_FREE = frozenset({"device", "priority", "ranks", "retries", "with"})
_SECONDS_TO_END, _SECONDS_OF_A_LOOK = 5.0, 0.1  # of processes that keep the ledger of an ended attempt
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class ResumePoint:
    """The point at which an attempt begins.

    Attributes:
        prepared: the job.
        directory: run directory; None for a new run.
        history: state of the run after earlier attempts.
        reset: failed tasks that were changed and begin again -> the changed keys; `history` has nothing of them.
        damaged: complete tasks whose artifacts are damaged; by `history` their last layers are to run again.
    """

    prepared: Prepared
    directory: RunDirectory | None = None
    history: RunState = field(default_factory=RunState)
    reset: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    damaged: tuple[ArtifactDamaged, ...] = ()

    @property
    def unfinished(self) -> list[str]:
        """Names of the tasks that are not complete."""
        past = self.history.tasks
        return [name for name in self.prepared.job.tasks if not (name in past and past[name].complete)]

    @property
    def begun(self) -> list[str]:
        """Names of the tasks that have begun."""
        return [name for name, past in self.history.tasks.items() if past.begun]

    @property
    def is_over(self) -> bool:
        """True if all tasks are complete and the completion record exists."""
        return self.directory is not None and not self.unfinished and self.directory.results_file.exists()


def load_run(
    run: Path, job_file: Path | None, ranks: int | None, policy: str | None = None, *, deserted: bool = False
) -> ResumePoint:
    """Returns the resume point of a run.

    Args:
        run: its directory.
        job_file: job file in place of the job in the directory.
        ranks: number of ranks in place of the job's.
        policy: planning policy in place of the job's.
        deserted: true if the attempt before is known to be over.

    Raises:
        InputError: this is no run, its files are damaged, or `job_file` changes a task that has begun and not failed.
        EnvironmentUnfitError: an attempt at the run is still running.
    """
    directory = RunDirectory(run.resolve())
    if not directory.job_file.is_file():
        raise InputError([Problem(str(run), "this is no run directory: there is no job.yaml in it")])
    history = read_run_state(directory.ledger_file)
    begun = [name for name, past in history.tasks.items() if past.begun]
    before = prepare(directory.job_file, ranks, policy, begun)
    if directory.ledger_file.exists():
        _require_over(directory, "" if deserted else history.attempt.host)
    for name in before.job.tasks:
        if any(checkpoints_of(directory, name).glob("*.h5")):  # a kill may come between a checkpoint and its event
            history.task(name).checkpointed = True
    prepared = before if job_file is None else prepare(job_file, ranks, policy, begun)
    reset = {} if job_file is None else _changed_failures(before, prepared, history)
    _require_same_data(before, directory, history, reset)
    found = [] if job_file is None else list(_changes(before, prepared, history, reset))
    if found and job_file is not None:
        raise InputError(locate(found, str(job_file), places_of(job_file)))
    for name in reset:
        history.tasks[name] = TaskHistory()
    # After the loss of rank 0 the run goes on at once; what reads a damaged artifact says so.
    damaged = () if deserted else _remake_damaged(directory, prepared, history)
    return ResumePoint(prepared, directory, history, reset, damaged)


def _remake_damaged(directory: RunDirectory, prepared: Prepared, history: RunState) -> tuple[ArtifactDamaged, ...]:
    """Finds complete tasks whose artifacts are damaged; by the history their last layers are to run again."""
    complete = [name for name, past in history.tasks.items() if past.complete]
    if directory.results_file.exists() and not any(directory.artifacts.glob("*.h5")):
        return ()  # a user has taken them all away
    found = damaged_artifacts(directory, prepared, complete)
    events = tuple(ArtifactDamaged(task=name, message=f"the artifact of task {name}: {found[name]}") for name in found)
    for event in events:
        history.take(event, history.latest)
    return events


def _require_over(directory: RunDirectory, host: str) -> None:
    """Refuses a run whose last attempt, on a host, is still running.

    The lock on its ledger decides where that attempt was on this host. Ranks that are killed with it may keep the lock
    for some seconds, after the command has ended that told to resume. Some file systems lock within one host only: an
    attempt that was killed on another host counts as running until its status has not changed for long.

    Raises:
        EnvironmentUnfitError: the attempt is still running.
    """
    text = f"{directory.path}: this run goes on: {{}}. Stop it first (`hpcmtl cancel`), or wait for its end"
    limit = time.monotonic() + _SECONDS_TO_END
    while is_held(directory.ledger_file):
        if time.monotonic() > limit:
            raise EnvironmentUnfitError(text.format("a process has its ledger open"))
        time.sleep(_SECONDS_OF_A_LOOK)  # a lock of another process: there is no condition to wait on
    status = read_status(directory.path)
    while host not in {"", socket.gethostname()} and status["ended"] is None and not status["silent"]:
        before = time.time() - status["age"]
        time.sleep(_SECONDS_BETWEEN_LOOKS)  # a file that another host may write: there is no condition to wait on
        status = read_status(directory.path)
        if time.time() - status["age"] > before + _SECONDS_BETWEEN_LOOKS / 2:
            raise EnvironmentUnfitError(text.format(f"its last update is {status['age']:.1f} s old"))


def _require_same_data(before: Prepared, directory: RunDirectory, history: RunState, reset: Collection[str]) -> None:
    """Refuses data files whose values have changed since tasks used them that have begun, and do not begin again.

    What a callable of the user's has read is not known: a change beside it is a warning.

    Raises:
        InputError: values have changed; all problems at once.
    """
    known = read_fingerprints(directory.data_file)
    used: dict[Path, set[str]] = {}
    begun = [n for n, past in history.tasks.items() if past.begun and n in before.job.tasks and n not in reset]
    for name in begun:
        for _, reference in references_of(before.job, name):
            origin, dataset = reference.split("/", 1)
            if origin in before.files:
                used.setdefault(before.files[origin], set()).add(dataset)
    problems = [each for path, names in used.items() if path in known for each in changes(path, known[path], names)]
    if problems:
        raise InputError(problems)
    calling = [n for n in begun if kind_of(before.job, n).framework_needs(before.job, n, before.arrays).callables]
    changed = [str(path) for path in known if calling and changes(path, known[path], known[path].arrays)]
    if changed:
        text = "changed since this run began; if one of these tasks has read it, its results are of the old values"
        _log.warning("%s: %s: %s", ", ".join(changed), text, ", ".join(calling))


def _changed_failures(before: Prepared, now: Prepared, history: RunState) -> dict[str, tuple[str, ...]]:
    """Returns the failed tasks that another job file changes, with the changed keys."""
    failed = [name for name, past in history.tasks.items() if past.status == "failed" and name in now.job.tasks]
    changed = {}
    for name in failed:
        if name in before.job.tasks:
            keys = tuple(_changed_keys(before, now, name))
            if keys:
                changed[name] = keys
    return changed


def _changed_keys(before: Prepared, now: Prepared, name: str) -> Iterator[str]:
    """Yields the keys of a task that affect its values and differ between two jobs, data files included."""
    old, new = ({**_fixed_values(each.job, name), "layers": each.graph.task(name).layers} for each in (before, now))
    yield from (key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))
    used = {reference.split("/", 1)[0] for _, reference in references_of(now.job, name)}
    for data in sorted(used & now.files.keys()):
        if before.files.get(data) != now.files[data]:
            yield f"data.{data}"


def _changes(before: Prepared, now: Prepared, history: RunState, reset: Collection[str]) -> Iterator[Finding]:
    """Yields the differences between two jobs in tasks that have begun, but for those that begin again."""
    fork = "begin a new run with `hpcmtl run`, or take the change back"
    begun = [name for name, past in history.tasks.items() if past.begun and name in before.job.tasks]
    if begun and before.job.seed != now.job.seed:
        yield ("seed",), f"was {before.job.seed} and is {now.job.seed}: {fork}"
    begun = [name for name in begun if name not in reset]
    for name in begun:
        if name not in now.job.tasks:
            yield ("tasks", name), f"is gone, but has begun: {fork}"
            continue
        old, new = ({**_fixed_values(each.job, name), "layers": each.graph.task(name).layers} for each in (before, now))
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                yield ("tasks", name, key), f"was {old.get(key)!r} and is {new.get(key)!r}, but has begun: {fork}"
        for other in sorted({*live_needs(now.job, name), *members_with(now.job, name)} & set(reset)):
            yield ("tasks", other), f"has failed and is changed, but {name} has exchanged parameters with it: {fork}"
    used = {reference.split("/", 1)[0] for name in begun for _, reference in references_of(before.job, name)}
    for name in sorted(used & before.files.keys()):
        if before.files[name] != now.files.get(name):
            yield ("data", name), f"was {before.files[name]} and is {now.files.get(name)}, but is in use: {fork}"


def _fixed_values(job: Job, task: str) -> Mapping[str, Any]:
    values = job.tasks[task].model_dump(mode="json", by_alias=True)
    return {key: value for key, value in values.items() if key not in _FREE}
