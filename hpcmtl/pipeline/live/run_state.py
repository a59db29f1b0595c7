"""How a run stands: what its directory tells, and where that leaves it open, what Slurm says."""

from __future__ import annotations

import random
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpcmtl.launch.slurm.throttle import SECONDS_BETWEEN_QUERIES, query_throttled
from hpcmtl.pipeline.live.diagnosis import diagnose, facts_of
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.submission import Submission, read_submission
from hpcmtl.results.status.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# A verdict that rests on silence alone has to last so long before a command takes it for the end: Slurm's daemon may be
# away for a while, and a file system too.
SECONDS_OF_DOUBT = 3 * SECONDS_BETWEEN_QUERIES


def run_state(path: Path, now: float | None = None) -> dict[str, Any]:
    """How a run stands now.

    Args:
        path: the run directory.
        now: seconds since 1970; the clock's by default.

    Returns:
        As `results.status.read_status`, with the verdict's `state`, `sentence`, `over`, `sure` and `exit_code`, and
        under `slurm` what Slurm said (`words`, `answered`, `problems`, `age`), None if it was not asked.

    Raises:
        InputError: this is no run directory, or its ledger is damaged.
    """
    status = read_status(path, now)
    facts = facts_of(status)
    reply = None
    if facts.open:
        reply = query_throttled(RunDirectory(path), read_submission(RunDirectory(path)) or Submission(), now)
    state, answered = (reply.combined, reply.answered) if reply is not None else (None, False)
    verdict = diagnose(facts, state, answered=answered)
    slurm = None
    if reply is not None:
        words = [{**asdict(state), "phase": state.phase, "hint": state.hint} for state in reply.states]
        slurm = {"words": words, "answered": reply.answered, "problems": list(reply.problems), "age": reply.age}
    return {**status, **asdict(verdict), "exit_code": verdict.exit_code, "slurm": slurm}


def poll(path: Path, seconds: float, doubt: float = SECONDS_OF_DOUBT) -> Iterator[Mapping[str, Any]]:
    """Yield how a run stands, again and again until it is over for certain, or seems so for long.

    Args:
        path: the run directory.
        seconds: between two looks, about; Slurm is asked less often, see `launch.queuebound`.
        doubt: seconds that a verdict which rests on silence alone has to last.
    """
    doubtful_since: float | None = None
    while True:
        found = run_state(path)
        yield found
        now = time.monotonic()
        doubtful_since = (doubtful_since or now) if found["over"] else None
        if found["over"] and (found["sure"] or now - (doubtful_since or now) >= doubt):
            return
        time.sleep(seconds * random.uniform(0.9, 1.1))  # files on a shared file system: there is nothing to wait on
