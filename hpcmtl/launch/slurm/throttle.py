"""Keeps questions to Slurm apart: at least 30 s between two of them about one run, whoever asks from wherever.

What was said last lies in the run directory as `queue.json`, for all commands of all people who look at it. Where that
cannot be written (somebody else's run), the bound holds within one process.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from hpcmtl.launch.slurm.queue import QueueAnswer, ask_slurm, is_slurm_here
from hpcmtl.launch.slurm.states import SlurmJobState
from hpcmtl.results.rundir.directory import write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.rundir.submission import Submission

SECONDS_BETWEEN_QUESTIONS = 30.0
JITTER = 5.0  # so that many who watch do not ask together
_NOWHERE = QueueAnswer((), answered=False, problems=("no command of Slurm is on the PATH of this host",))
_kept: dict[Path, Mapping[str, Any]] = {}  # of runs whose directory cannot be written


def ask_bounded(run: RunDirectory, submission: Submission, now: float | None = None) -> QueueAnswer:
    """What Slurm says of the jobs of a run: what it says now if it may be asked, else what it said last.

    The time is noted before the question, so that a slow answer, or none, does not bring the next question forward.

    Args:
        run: whose.
        submission: its jobs.
        now: seconds since 1970; the clock's by default.
    """
    now = time.time() if now is None else now
    last = _last(run)
    if last is not None and 0 <= now - last["asked"] < last["pause"]:
        answer = _answer_of(last, now)
        if {word.job for word in answer.words} == set(submission.job_ids) or not answer.words:
            return answer
        return replace(answer, words=_words_for(submission, answer))  # a successor, of which Slurm has not been asked
    if not is_slurm_here():
        return _NOWHERE if last is None else _answer_of(last, now)
    pause = SECONDS_BETWEEN_QUESTIONS + random.uniform(0.0, JITTER)
    kept = {key: value for key, value in (last or {}).items() if key in {"words", "answered", "problems"}}
    _keep(run, {"asked": now, "pause": pause, "words": [], "answered": False, "problems": [], **kept})
    answer = ask_slurm(submission)
    _keep(run, {"asked": now, "pause": pause, **asdict(answer)})
    return answer


def _words_for(submission: Submission, answer: QueueAnswer) -> tuple[SlurmJobState, ...]:
    said = {word.job: word for word in answer.words}
    return tuple(said.get(job, SlurmJobState(job)) for job in submission.job_ids)


def _answer_of(kept: Mapping[str, Any], now: float) -> QueueAnswer:
    words = tuple(SlurmJobState(**word) for word in kept["words"])
    return QueueAnswer(words, bool(kept["answered"]), tuple(kept["problems"]), max(now - kept["asked"], 0.0))


def _last(run: RunDirectory) -> Mapping[str, Any] | None:
    """What is kept of the last question, if that can be read."""
    try:
        kept = json.loads(run.queue_file.read_text(encoding="utf-8"))
        _answer_of(kept, 0.0)
        if kept["pause"] > SECONDS_BETWEEN_QUESTIONS + JITTER:
            return None
    except (OSError, ValueError, TypeError, KeyError):
        return _kept.get(run.path)
    own = _kept.get(run.path)
    return own if own is not None and own["asked"] > kept["asked"] else dict(kept)


def _keep(run: RunDirectory, values: Mapping[str, Any]) -> None:
    try:
        write_json_atomically(run.queue_file, values)
    except OSError:  # somebody else's run, or a full disk
        _kept[run.path] = values
