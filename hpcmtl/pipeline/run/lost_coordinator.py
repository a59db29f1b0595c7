"""Resume point of an attempt whose rank 0 died, and the records that it could not write itself."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.world import COORDINATOR
from hpcmtl.errors import CannotGoOnError, InputError
from hpcmtl.pipeline.run.result import result_of
from hpcmtl.pipeline.run.resume_point import ResumePoint, load_run
from hpcmtl.results.events import JobEnded, JobStopping, LayerRestarted, RankLost
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.outcome.summary import RunAttempt, to_dict
from hpcmtl.results.run_state import read_run_state
from hpcmtl.results.rundir.directory import RunDirectory, write_json_atomically

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from hpcmtl.jobfile.schema import Job


def load_after_loss(run: Path, reason: str, policy: str | None, ranks: int, *, took_over: bool = True) -> ResumePoint:
    """Returns the resume point of a run whose attempt was abandoned after a loss of ranks, and records the loss.

    Args:
        run: its directory.
        reason: reason of the end of the attempt, see `AttemptAbandonedError`.
        policy: planning policy in place of the job's.
        ranks: number of ranks that are left.
        took_over: whether this rank takes the place of a rank 0 that died; other losses are in the ledger.

    Raises:
        CannotGoOnError: too few ranks are left for the job.
        InputError: the run cannot continue on any number of ranks, such as after a change of its data.
    """
    if took_over:
        record_loss(RunDirectory(run))
    try:
        return load_run(run, None, ranks, policy, deserted=True)
    except InputError as error:
        point = load_run(run, None, None, policy, deserted=True)  # raises a problem that more ranks have as well
        text = f"{reason}, and the run stops, since too few are left ({ranks}): {error.in_one_line}"
        record_stop(RunDirectory(run), point.prepared.job, text)
        raise CannotGoOnError(f"{text}. `hpcmtl resume` on more of them goes on from the checkpoints") from error


def record_loss(run: RunDirectory) -> None:
    """Records the loss of rank 0, and the layer that it ran."""
    state = read_run_state(run.ledger_file)
    if not state.attempts or state.ended:
        return
    running = [
        (name, task)
        for name, task in state.tasks.items()
        if task.status == "running" and task.ranks is not None and task.ranks[0] == COORDINATOR
    ]
    with Ledger(run.ledger_file) as ledger:
        place: dict[str, Any] = {}
        for name, task in running:
            place = {"task": name, "layer": task.layer, "step": task.progress.step if task.progress else 0}
        ledger.append(RankLost(rank=COORDINATOR, host=state.attempt.host, **place))
        for name, task in running:
            ledger.append(LayerRestarted(task=name, layer=task.layer, lost=(COORDINATOR,)))


def record_stop(run: RunDirectory, job: Job, reason: str) -> None:
    """Records that the ranks that are left cannot go on: the end of the attempt, and its completion record."""
    with Ledger(run.ledger_file) as ledger:
        ledger.append(JobStopping(reason=reason))
        state = read_run_state(run.ledger_file)
        attempt = RunAttempt(state.attempt.number, state.attempt.id)
        started, seconds = datetime.fromtimestamp(state.started, timezone.utc), time.time() - state.started
        result = result_of(job, state, started, seconds, attempt)
        write_json_atomically(run.results_file, to_dict(result))
        ledger.append(JobEnded(status=result.status, seconds=seconds, attempt=attempt.attempt))
