"""Takes up a run that has stopped, or died: what its directory knows, and what may have changed since."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem
from hpcmtl.jobfile.load import line_numbers, locate
from hpcmtl.jobfile.references import references_of
from hpcmtl.pipeline.prepare import Prepared, prepare
from hpcmtl.results.ledger import is_held
from hpcmtl.results.run_state import RunState, read_run_state
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.status.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job

# What may be changed of a task that has begun: none of it decides what is computed.
_FREE = frozenset({"priority", "ranks", "retries", "with"})
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class ResumePoint:
    """Where an attempt begins.

    Attributes:
        prepared: the job.
        directory: of the run, if there is one.
        history: state of the run after earlier attempts.
    """

    prepared: Prepared
    directory: RunDirectory | None = None
    history: RunState = field(default_factory=RunState)

    @property
    def unfinished(self) -> list[str]:
        """Names of the tasks that are not complete."""
        past = self.history.tasks
        return [name for name in self.prepared.job.tasks if not (name in past and past[name].complete)]

    @property
    def is_over(self) -> bool:
        """Whether all tasks are complete, and the record says so."""
        return self.directory is not None and not self.unfinished and self.directory.results_file.exists()


def load_run(
    run: Path, job_file: Path | None, ranks: int | None, policy: str | None = None, *, deserted: bool = False
) -> ResumePoint:
    """Find out where a run stands.

    Args:
        run: its directory.
        job_file: instead of the job that is in it.
        ranks: instead of the job's.
        policy: instead of the job's.
        deserted: the attempt before is known to be over.

    Raises:
        InputError: this is no run, its files are damaged, or `job_file` changes what has been done already.
        EnvironmentUnfitError: the run goes on, somewhere.
    """
    directory = RunDirectory(run.resolve())
    if not directory.job_file.is_file():
        raise InputError([Problem(str(run), "this is no run directory: there is no job.yaml in it")])
    before = prepare(directory.job_file, ranks, policy)
    history = read_run_state(directory.ledger_file)
    if directory.ledger_file.exists():
        _require_over(directory, "" if deserted else history.attempt.host)
    prepared = before if job_file is None else prepare(job_file, ranks, policy)
    found = [] if job_file is None else list(_changes(before, prepared, history))
    if found and job_file is not None:
        raise InputError(locate(found, str(job_file), line_numbers(job_file)))
    return ResumePoint(prepared, directory, history)


def _require_over(directory: RunDirectory, host: str) -> None:
    """Refuse a run that another attempt is at.

    The lock on its ledger tells, where the last attempt was on this host; elsewhere locks may be of one host alone, and
    an attempt that was killed there counts as running until it has been silent for long.

    Raises:
        EnvironmentUnfitError: there are signs of life.
    """
    text = f"{directory.path}: this run goes on: {{}}. Stop it first (`hpcmtl cancel`), or wait for its end"
    if is_held(directory.ledger_file):
        raise EnvironmentUnfitError(text.format("a process has its ledger open"))
    status = read_status(directory.path)
    while host not in {"", socket.gethostname()} and status["ended"] is None and not status["silent"]:
        before = time.time() - status["age"]
        time.sleep(_SECONDS_BETWEEN_LOOKS)  # a file that another host may write: there is no condition to wait on
        status = read_status(directory.path)
        if time.time() - status["age"] > before + _SECONDS_BETWEEN_LOOKS / 2:
            raise EnvironmentUnfitError(text.format(f"its last word is {status['age']:.1f} s old"))


def _changes(before: Prepared, now: Prepared, history: RunState) -> Iterator[Finding]:
    """What differs of that which has been done."""
    fork = "begin a new run with `hpcmtl run`, or take the change back"
    begun = [name for name, past in history.tasks.items() if past.begun and name in before.job.tasks]
    if begun and before.job.seed != now.job.seed:
        yield ("seed",), f"was {before.job.seed} and is {now.job.seed}: {fork}"
    for name in begun:
        if name not in now.job.tasks:
            yield ("tasks", name), f"is gone, but has begun: {fork}"
            continue
        old, new = ({**_told(each.job, name), "layers": each.graph.task(name).layers} for each in (before, now))
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                yield ("tasks", name, key), f"was {old.get(key)!r} and is {new.get(key)!r}, but has begun: {fork}"
    used = {reference.split("/", 1)[0] for name in begun for _, reference in references_of(before.job, name)}
    for name in sorted(used & before.files.keys()):
        if before.files[name] != now.files.get(name):
            yield ("data", name), f"was {before.files[name]} and is {now.files.get(name)}, but is in use: {fork}"


def _told(job: Job, task: str) -> Mapping[str, Any]:
    values = job.tasks[task].model_dump(mode="json", by_alias=True)
    return {key: value for key, value in values.items() if key not in _FREE}
