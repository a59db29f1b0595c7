"""Rate limit of queries to Slurm: at least 30 s between two queries about one run, over all processes.

The last reply is stored in the run directory as `queue.json`, for all commands and users. If that file cannot be
written (another user's run), the limit holds within one process.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from hpcmtl.launch.slurm.queue import QueueReply, is_slurm_here, query_slurm
from hpcmtl.launch.slurm.states import SlurmJobState
from hpcmtl.results.rundir.directory import write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.rundir.submission import Submission

SECONDS_BETWEEN_QUERIES = 30.0
JITTER = 5.0  # spreads the queries of many processes
_NO_SLURM = QueueReply((), answered=False, problems=("no command of Slurm is on the PATH of this host",))
_kept: dict[Path, Mapping[str, Any]] = {}  # replies of runs whose directory cannot be written


def query_throttled(run: RunDirectory, submission: Submission, now: float | None = None) -> QueueReply:
    """Returns the state of the jobs of a run: from a new query if the limit allows one, else the last reply.

    The time is stored before the query, so that a slow or missing reply does not advance the next query.

    Args:
        run: the run.
        submission: its jobs.
        now: seconds since 1970; the current time by default.
    """
    now = time.time() if now is None else now
    last = _last(run)
    if last is not None and 0 <= now - last["asked"] < last["pause"]:
        reply = _reply_of(last, now)
        if {state.job for state in reply.states} >= set(submission.job_ids) or not reply.states:
            return reply
        return replace(reply, states=_states_for(submission, reply))  # with a successor that has not been queried
    if not is_slurm_here():
        return _NO_SLURM if last is None else _reply_of(last, now)
    pause = SECONDS_BETWEEN_QUERIES + random.uniform(0.0, JITTER)
    kept = {key: value for key, value in (last or {}).items() if key in {"states", "answered", "problems"}}
    _keep(run, {"asked": now, "pause": pause, "states": [], "answered": False, "problems": [], **kept})
    reply = query_slurm(submission)
    _keep(run, {"asked": now, "pause": pause, **asdict(reply)})
    return reply


def _states_for(submission: Submission, reply: QueueReply) -> tuple[SlurmJobState, ...]:
    known = {state.job: state for state in reply.states}
    return tuple(known.pop(job, SlurmJobState(job)) for job in submission.job_ids) + tuple(known.values())


def _reply_of(kept: Mapping[str, Any], now: float) -> QueueReply:
    states = tuple(SlurmJobState(**state) for state in kept["states"])
    return QueueReply(states, bool(kept["answered"]), tuple(kept["problems"]), max(now - kept["asked"], 0.0))


def _last(run: RunDirectory) -> Mapping[str, Any] | None:
    """Returns the stored last reply, if it can be read."""
    try:
        kept = json.loads(run.queue_file.read_text(encoding="utf-8"))
        _reply_of(kept, 0.0)
        if kept["pause"] > SECONDS_BETWEEN_QUERIES + JITTER:
            return None
    except (OSError, ValueError, TypeError, KeyError):
        return _kept.get(run.path)
    own = _kept.get(run.path)
    return own if own is not None and own["asked"] > kept["asked"] else dict(kept)


def _keep(run: RunDirectory, values: Mapping[str, Any]) -> None:
    try:
        write_json_atomically(run.queue_file, values)
    except OSError:  # another user's run, or a full disk
        _kept[run.path] = values
