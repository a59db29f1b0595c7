"""The diagnosis of a run: by its completion record and ledger first, by Slurm only where they leave it open. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hpcmtl.errors import ExitCode
from hpcmtl.launch.slurm.states import LIVE, SlurmJobState
from hpcmtl.results.format import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

DiagnosedState = Literal[
    "waiting",
    "preparing",
    "running",
    "stopping",
    "silent",
    "suspended",
    "requeued",
    "complete",
    "failed",
    "incomplete",
    "stopped",
    "cancelled",
    "died",
]
EXIT_CODES: Mapping[str, ExitCode] = {
    "complete": ExitCode.COMPLETE,
    "failed": ExitCode.TASK_FAILED,
    "incomplete": ExitCode.TASK_FAILED,
    "stopped": ExitCode.STOPPED,
    "cancelled": ExitCode.TASK_FAILED,
    "died": ExitCode.TASK_FAILED,
}
GIVEN_UP = 10
"""Multiple of the patience with a silent run after which it counts as dead, where Slurm does not say otherwise."""


@dataclass(frozen=True)
class RunEvidence:
    """The facts of a run directory on which a diagnosis rests.

    Attributes:
        status: preparing, running, stopping, or the status with which the last attempt ended, by the ledger.
        record: status in the completion record of the last attempt; empty without one.
        attempt: number of the last attempt; 0 if none has begun.
        cancelled_by: user who cancelled the whole job in that attempt; empty if none did.
        jobs: IDs of its batch jobs.
        age: seconds since the last update of the run, or since it was made; None if both are unknown.
        patience: seconds without an update after which a run is silent.
        since_submission: seconds since the submission; None if the run was not submitted, or the time is unknown.
        run: the run, as commands take it.
        gone: true if surely no process of the attempt is left.
    """

    status: str = "preparing"
    record: str = ""
    attempt: int = 0
    cancelled_by: str = ""
    jobs: tuple[str, ...] = ()
    age: float | None = None
    patience: float = 30.0
    since_submission: float | None = None
    run: str = "RUN"
    gone: bool = False

    @property
    def resume(self) -> str:
        """Advice to resume the run."""
        return f"`hpcmtl resume {shlex.quote(self.run)}` goes on from the checkpoints"

    @property
    def look(self) -> str:
        """Advice to look into the logs."""
        return f"see `hpcmtl logs {shlex.quote(self.run)}`"

    @property
    def ended(self) -> str:
        """Status with which the last attempt ended; empty while it has not ended, or if it was killed."""
        return self.record or (self.status if self.status in EXIT_CODES else "")

    @property
    def ended_for_good(self) -> bool:
        """True if no attempt follows by itself."""
        return bool(self.ended) and (self.ended != "stopped" or bool(self.cancelled_by))

    @property
    def silent(self) -> bool:
        """True if a run that has not ended has sent no update for longer than the patience."""
        return not self.ended and self.age is not None and self.age > self.patience

    @property
    def open(self) -> bool:
        """True if Slurm must be queried for a diagnosis."""
        if not self.jobs or self.ended == "complete":
            return False
        return bool(self.ended) or self.attempt == 0 or self.silent or self.gone


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of a run.

    Attributes:
        state: state of the run.
        sentence: reason, and advice where there is any.
        over: true if nothing more happens by itself.
        sure: false if `over` follows from silence alone, which may end.
    """

    state: DiagnosedState
    sentence: str
    over: bool = False
    sure: bool = True

    @property
    def exit_code(self) -> int | None:
        """Exit code of the run's command, also of one that was killed; None while the run is not over."""
        return int(EXIT_CODES[self.state]) if self.over else None


def evidence_of(status: Mapping[str, Any]) -> RunEvidence:
    """Returns the evidence in the values of `results.status.status.read_status`."""
    submitted = status["submitted"]
    return RunEvidence(
        status["status"],
        status["record"],
        status["attempt"],
        status["cancelled_by"],
        tuple(status["job_ids"]),
        status["age"],
        status["patience"],
        None if submitted is None else max(status["now"] - submitted, 0.0),
        status["run"],
    )


def diagnose(evidence: RunEvidence, slurm: SlurmJobState | None = None, *, answered: bool = False) -> Diagnosis:
    """Returns the diagnosis of a run.

    Args:
        evidence: facts of its directory.
        slurm: combined state of its jobs in Slurm; None if Slurm was not queried.
        answered: true if Slurm answered, so that a job without a state no longer exists.
    """
    if evidence.ended:
        return _ended(evidence, slurm)
    if evidence.open and slurm is not None and (slurm.phase != "unknown" or answered):
        return _by_slurm(evidence, slurm)
    if evidence.attempt == 0 and evidence.jobs:
        since = "" if evidence.since_submission is None else f" {duration(evidence.since_submission)} ago"
        return Diagnosis("waiting", f"submitted{since} as job {evidence.jobs[-1]}, and Slurm does not report its state")
    if evidence.gone:
        text = (
            f"no process of it is left on its host, and there is no completion record: it was killed; {evidence.resume}"
        )
        return Diagnosis("died", text, over=True, sure=not evidence.jobs)
    if not evidence.silent:
        state: DiagnosedState = "running" if evidence.attempt else "preparing"
        state = "stopping" if evidence.status == "stopping" else state
        return Diagnosis(state, _attempt(evidence) + state)
    assert evidence.age is not None
    silence = f"no update for {duration(evidence.age)}"
    if evidence.age > GIVEN_UP * evidence.patience:
        text = f"{silence} and no completion record: it was killed, or its host is gone"
        return Diagnosis("died", f"{text}; {evidence.resume}", over=True, sure=False)
    return Diagnosis("silent", f"{silence}: it may have been killed, and the values shown are those of its last update")


def _ended(evidence: RunEvidence, slurm: SlurmJobState | None) -> Diagnosis:
    """Diagnoses a run whose last attempt ended by itself; a stopped one may go on if Slurm still has the job."""
    state: DiagnosedState = evidence.ended  # type: ignore[assignment]  # a key of EXIT_CODES
    again = _submitted_again(evidence, slurm)
    if again is not None:
        return again
    if state != "stopped":
        return Diagnosis(state, _attempt(evidence) + f"ended: {state}", over=True)
    if evidence.cancelled_by:
        text = (
            f"{evidence.cancelled_by} cancelled it: it stopped with checkpoints and does not go on; {evidence.resume}"
        )
        return Diagnosis(state, text, over=True)
    if slurm is not None and slurm.phase in LIVE:
        text = f"stopped with checkpoints; job {slurm.job} is {slurm.state}{_because(slurm)}"
        if slurm.phase == "running":
            return Diagnosis("stopping", f"{text}: it is ending, or its next attempt begins")
        return Diagnosis("requeued", f"{text}: it goes on when it starts again")
    text = f"stopped with checkpoints; {evidence.resume}"
    if slurm is not None and slurm.state == "FAILED" and slurm.exit_code.split(":")[0] not in {"", "0", "75"}:
        ended = f"job {slurm.job} ended ({_end_of(slurm)}) before an attempt began"
        return Diagnosis("died", f"{ended}; {evidence.look}", over=True)
    if slurm is not None and slurm.state:
        return Diagnosis(state, f"{text} (Slurm: {_end_of(slurm)})", over=True)
    return Diagnosis(state, text, over=True, sure=not evidence.jobs)


def _submitted_again(evidence: RunEvidence, slurm: SlurmJobState | None) -> Diagnosis | None:
    """Returns the diagnosis of a run that ended for good and whose script is in the queue again; else None."""
    own = slurm is not None and slurm.job in evidence.jobs
    if slurm is None or evidence.ended == "complete" or (own and not evidence.ended_for_good):
        return None
    text = f"attempt {evidence.attempt} ended: {evidence.ended}; job {slurm.job} is {slurm.state}{_because(slurm)}"
    if slurm.phase == "running" and slurm.job not in evidence.jobs:
        return Diagnosis("preparing", f"{text}, and its attempt has not begun yet")
    if slurm.phase in {"pending", "requeued", "suspended"}:
        return Diagnosis("requeued", f"{text}: the run goes on when it starts")
    return None


def _by_slurm(evidence: RunEvidence, slurm: SlurmJobState) -> Diagnosis:
    """Diagnoses a run by Slurm, which has reported a state or no longer knows the job."""
    began = evidence.attempt > 0
    again = evidence.resume if began else f"`hpcmtl resume {shlex.quote(evidence.run)}` starts it"
    silence = f"no update for {duration(evidence.age or 0.0)}" if began else "it has not begun"
    if slurm.phase in {"pending", "requeued"}:
        text = f"job {slurm.job} is {slurm.state}{_because(slurm)}{_expected(slurm)}{_hint(slurm)}"
        if began:
            cut_off = f"attempt {evidence.attempt} was cut off and the job is in the queue again"
            return Diagnosis("requeued", f"{cut_off}: {text}")
        return Diagnosis("waiting", f"waiting in the queue: {text}")
    if slurm.phase == "suspended":
        return Diagnosis("suspended", f"job {slurm.job} is {slurm.state}{_hint(slurm)}")
    if slurm.phase == "running":
        where = f" on {slurm.nodes}" if slurm.nodes else ""
        if not began:
            return Diagnosis("preparing", f"job {slurm.job} is {slurm.state}{where}, and the run has not begun yet")
        since = f" since {slurm.start}" if slurm.start else ""
        text = f"{silence}, though job {slurm.job} is {slurm.state}{where}{since}"
        return Diagnosis(
            "silent", f"{text}: its next attempt begins, or it hangs, or its file system does; {evidence.look}"
        )
    if slurm.phase == "unknown":
        text = f"{silence}, and Slurm no longer knows job {slurm.job}: it has ended without a completion record"
        return Diagnosis("died", f"{text}; {evidence.look}; {again}", over=True, sure=False)
    if slurm.phase == "ended-cancelled":
        return Diagnosis("cancelled", f"job {slurm.job} was cancelled{_by(slurm)} ({silence}); {again}", over=True)
    text = f"job {slurm.job} ended ({_end_of(slurm)}) without a completion record"
    if slurm.phase == "ended-complete":
        text += "; an mpirun that loses a node may end with 0 all the same"
    return Diagnosis("died", f"{text}{_hint(slurm)}; {evidence.look}; {again}", over=True)


def _attempt(evidence: RunEvidence) -> str:
    return f"attempt {evidence.attempt} " if evidence.attempt > 1 else ""


def _end_of(slurm: SlurmJobState) -> str:
    return slurm.state + _by(slurm) + (f", exit code {slurm.exit_code}" if slurm.exit_code else "")


def _by(slurm: SlurmJobState) -> str:
    return f" by user {slurm.by}" if slurm.by else ""


def _because(slurm: SlurmJobState) -> str:
    return f" ({slurm.reason})" if slurm.reason else ""


def _expected(slurm: SlurmJobState) -> str:
    return f", expected to start at {slurm.start}" if slurm.start and not slurm.hint else ""


def _hint(slurm: SlurmJobState) -> str:
    return f"; {slurm.hint}" if slurm.hint else ""
