"""The diagnosis of a run from its directory and, where the directory leaves it open, from Slurm; once or repeatedly."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from hpcmtl.launch.slurm.throttle import SECONDS_BETWEEN_QUERIES, query_throttled
from hpcmtl.pipeline.live.diagnosis import diagnose, evidence_of
from hpcmtl.pipeline.live.liveness import read_liveness
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.submission import Submission, read_submission
from hpcmtl.results.status.progress_reader import ProgressReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.launch.slurm.queue import QueueReply
    from hpcmtl.pipeline.live.diagnosis import RunEvidence

SECONDS_OF_DOUBT = 3 * SECONDS_BETWEEN_QUERIES
"""Seconds that an end which follows from silence alone must last before a command accepts it: Slurm's daemon, or a file
system, may be away for a while."""


def diagnose_run(path: Path, now: float | None = None, reader: ProgressReader | None = None) -> dict[str, Any]:
    """Returns the status of a run with its diagnosis.

    Args:
        path: the run directory.
        now: seconds since 1970; the clock's by default.
        reader: reader of this run, for commands that look at it again and again.

    Returns:
        The values of `results.status.status.read_status`; `state`, `sentence`, `over`, `sure` and `exit_code` of the
        diagnosis; and under `slurm` the reply of Slurm (`words`, the states of its jobs, `answered`, `problems`,
        `age`), None if it was not queried.

    Raises:
        InputError: this is no run directory, or its ledger is damaged.
    """
    status, evidence = read_facts(RunDirectory(path), now, reader)
    reply = None
    if evidence.open:
        reply = query_throttled(RunDirectory(path), read_submission(RunDirectory(path)) or Submission(), now)
    return diagnosed(status, evidence, reply)


def read_facts(
    run: RunDirectory, now: float | None = None, reader: ProgressReader | None = None
) -> tuple[dict[str, Any], RunEvidence]:
    """Returns the status of a run and the evidence of its diagnosis; see `diagnose_run`."""
    status, gone = read_liveness(run, now, reader)
    return status, replace(evidence_of(status), gone=gone)


def diagnosed(status: Mapping[str, Any], evidence: RunEvidence, reply: QueueReply | None) -> dict[str, Any]:
    """Returns a status with its diagnosis.

    Args:
        status: status of the run.
        evidence: evidence in it.
        reply: reply of Slurm about its jobs; None if it was not queried.
    """
    state = reply.combined if reply is not None else None
    if reply is not None and evidence.ended_for_good and status["now"] - reply.age < (status["ended"] or 0.0):
        state = None  # Slurm was asked while the job waited for the attempt that has ended since
    diagnosis = diagnose(evidence, state, answered=reply is not None and reply.answered)
    return {**status, **asdict(diagnosis), "exit_code": diagnosis.exit_code, "slurm": reply_values(reply)}


def reply_values(reply: QueueReply | None) -> dict[str, Any] | None:
    """Returns the reply of Slurm as plain values; None without one."""
    if reply is None:
        return None
    states = [{**asdict(each), "phase": each.phase, "hint": each.hint} for each in reply.states]
    return {"words": states, "answered": reply.answered, "problems": list(reply.problems), "age": reply.age}


def poll(path: Path, seconds: float, doubt: float = SECONDS_OF_DOUBT) -> Iterator[Mapping[str, Any]]:
    """Yields the diagnosis of a run repeatedly, see `poll_by`."""
    reader = ProgressReader(RunDirectory(path))
    return poll_by(lambda: diagnose_run(path, reader=reader), seconds, doubt)


def poll_by(
    look: Callable[[], dict[str, Any]], seconds: float, doubt: float = SECONDS_OF_DOUBT
) -> Iterator[Mapping[str, Any]]:
    """Yields a diagnosis repeatedly, until all is over for certain or has seemed over for long.

    Args:
        look: returns the diagnosis, of a run or of a sweep.
        seconds: approximate seconds between two diagnoses; Slurm is queried less often, see `launch.slurm.throttle`.
        doubt: seconds that an end which follows from silence alone must last.
    """
    doubtful_since: float | None = None
    began, gone_on = time.time(), False
    while True:
        found = look()
        gone_on = gone_on or not found["over"]
        if not gone_on and found["slurm"] and found["now"] - found["slurm"]["age"] < began:
            found["sure"] = False  # since Slurm was asked, a user may have submitted the next attempt
        yield found
        now = time.monotonic()
        doubtful_since = (doubtful_since or now) if found["over"] else None
        if found["over"] and (found["sure"] or now - (doubtful_since or now) >= doubt):
            return
        time.sleep(seconds * random.uniform(0.9, 1.1))  # files on a shared file system: there is nothing to wait on
