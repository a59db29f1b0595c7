"""The verdict on a run: its completion record and ledger first, Slurm's word only where they leave it open. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hpcmtl.errors import ExitCode
from hpcmtl.launch.slurm.states import LIVE, SlurmJobState
from hpcmtl.results.format import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

VerdictState = Literal[
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
EXIT_CODES = {
    "complete": ExitCode.COMPLETE,
    "failed": ExitCode.TASK_FAILED,
    "incomplete": ExitCode.TASK_FAILED,
    "stopped": ExitCode.STOPPED,
    "cancelled": ExitCode.TASK_FAILED,
    "died": ExitCode.TASK_FAILED,
}
GIVEN_UP = 10  # times the patience with a silent run, after which, without Slurm's word, nobody waits any more
_RESUME = "`hpcmtl resume RUN` goes on from the checkpoints"
_LOOK = "see `hpcmtl logs RUN`"


@dataclass(frozen=True)
class RunEvidence:
    """What a run directory tells.

    Attributes:
        status: preparing, running, stopping, or as the last attempt ended, by the ledger.
        record: how the last attempt ended by its completion record; empty without one.
        attempt: the last one that began; 0 if none has.
        cancelled_by: who cancelled the whole job in that attempt.
        jobs: IDs of its batch jobs.
        age: seconds since the last word of the run, or since it was made; None if not even that is known.
        patience: seconds without a word after which a run is silent.
        since_submission: seconds; None if it was not submitted, or nobody knows when.
    """

    status: str = "preparing"
    record: str = ""
    attempt: int = 0
    cancelled_by: str = ""
    jobs: tuple[str, ...] = ()
    age: float | None = None
    patience: float = 30.0
    since_submission: float | None = None

    @property
    def ended(self) -> str:
        """How the last attempt ended by itself; empty while it has not, or if it left no word of it."""
        return self.record or (self.status if self.status in EXIT_CODES else "")

    @property
    def silent(self) -> bool:
        """Whether a run that began, or was about to, has not been heard of for too long."""
        return not self.ended and self.age is not None and self.age > self.patience

    @property
    def open(self) -> bool:
        """Whether Slurm has to be asked how it stands."""
        if not self.jobs or (self.ended and (self.ended != "stopped" or self.cancelled_by)):
            return False
        return bool(self.ended) or self.attempt == 0 or self.silent


@dataclass(frozen=True)
class Verdict:
    """How a run stands.

    Attributes:
        state: one word.
        sentence: why, and what to do about it where something can be done.
        over: whether nothing more happens by itself.
        sure: whether that rests on what is known; else on silence, which may end.
    """

    state: VerdictState
    sentence: str
    over: bool = False
    sure: bool = True

    @property
    def exit_code(self) -> int | None:
        """What the run's command ends with, or would have; None as long as it is not over."""
        return int(EXIT_CODES[self.state]) if self.over else None


def facts_of(status: Mapping[str, Any]) -> RunEvidence:
    """The facts in what `results.status.read_status` returns."""
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
    )


def diagnose(facts: RunEvidence, word: SlurmJobState | None = None, *, answered: bool = False) -> Verdict:
    """Say how a run stands.

    Args:
        facts: of its directory.
        word: what Slurm says of its jobs together; None if it was not asked.
        answered: whether Slurm answered, so that a job that it says nothing of is gone.
    """
    if facts.ended:
        return _ended(facts, word)
    if facts.open and word is not None and (word.phase != "unknown" or answered):
        return _by_slurm(facts, word)
    if facts.attempt == 0 and facts.jobs:
        since = "" if facts.since_submission is None else f" {duration(facts.since_submission)} ago"
        return Verdict("waiting", f"submitted{since} as job {facts.jobs[-1]}, and Slurm does not say how it stands")
    if not facts.silent:
        state: VerdictState = "stopping" if facts.status == "stopping" else "running" if facts.attempt else "preparing"
        return Verdict(state, _attempt(facts) + state)
    assert facts.age is not None
    if facts.age > GIVEN_UP * facts.patience:
        text = f"no word for {duration(facts.age)} and no completion record: it was killed, or its host is gone"
        return Verdict("died", f"{text}; {_RESUME}", over=True, sure=False)
    return Verdict("silent", f"no word for {duration(facts.age)}: it may have been killed, and all here is from before")


def _ended(facts: RunEvidence, word: SlurmJobState | None) -> Verdict:
    """The last attempt ended by itself; one that stopped may go on, if Slurm has the job still."""
    state: VerdictState = facts.ended  # type: ignore[assignment]  # a key of EXIT_CODES
    if state != "stopped":
        return Verdict(state, _attempt(facts) + f"ended: {state}", over=True)
    if facts.cancelled_by:
        text = f"{facts.cancelled_by} cancelled it: it stopped with checkpoints and does not go on; {_RESUME}"
        return Verdict(state, text, over=True)
    if word is not None and word.phase in LIVE:
        text = f"stopped with checkpoints; job {word.job} is {word.state}{_because(word)}"
        if word.phase == "running":
            return Verdict("stopping", f"{text}: it is ending, or its next attempt begins")
        return Verdict("requeued", f"{text}: it goes on when it starts again")
    text = f"stopped with checkpoints; {_RESUME}"
    if word is not None and word.state == "FAILED" and word.exit_code.split(":")[0] not in {"", "0", "75"}:
        return Verdict("died", f"job {word.job} ended ({_told(word)}) before an attempt began; {_LOOK}", over=True)
    if word is not None and word.state:
        return Verdict(state, f"{text} (Slurm: {_told(word)})", over=True)
    return Verdict(state, text, over=True, sure=not facts.jobs)


def _by_slurm(facts: RunEvidence, word: SlurmJobState) -> Verdict:
    """The directory leaves it open how it stands, and Slurm has said something, or does not know the job any more."""
    began = facts.attempt > 0
    again = _RESUME if began else "`hpcmtl resume RUN` starts it"
    silence = f"no word for {duration(facts.age or 0.0)}" if began else "it has not begun"
    if word.phase in {"pending", "requeued"}:
        text = f"job {word.job} is {word.state}{_because(word)}{_expected(word)}{_hint(word)}"
        if began:
            return Verdict("requeued", f"attempt {facts.attempt} was cut off and the job is in the queue again: {text}")
        return Verdict("waiting", f"waiting in the queue: {text}")
    if word.phase == "suspended":
        return Verdict("suspended", f"job {word.job} is {word.state}{_hint(word)}")
    if word.phase == "running":
        where = f" on {word.nodes}" if word.nodes else ""
        if not began:
            return Verdict("preparing", f"job {word.job} is {word.state}{where}, and the run has not begun yet")
        since = f" since {word.start}" if word.start else ""
        text = f"{silence}, though job {word.job} is {word.state}{where}{since}"
        return Verdict("silent", f"{text}: its next attempt begins, or it hangs, or its file system does; {_LOOK}")
    if word.phase == "unknown":
        text = f"{silence}, and Slurm does not know job {word.job} any more: it has ended without a completion record"
        return Verdict("died", f"{text}; {_LOOK}; {again}", over=True, sure=False)
    if word.phase == "ended-cancelled":
        return Verdict("cancelled", f"job {word.job} was cancelled{_by(word)} ({silence}); {again}", over=True)
    text = f"job {word.job} ended ({_told(word)}) without a completion record"
    if word.phase == "ended-complete":
        text += "; an mpirun that loses a node may end with 0 all the same"
    return Verdict("died", f"{text}{_hint(word)}; {_LOOK}; {again}", over=True)


def _attempt(facts: RunEvidence) -> str:
    return f"attempt {facts.attempt} " if facts.attempt > 1 else ""


def _told(word: SlurmJobState) -> str:
    return word.state + _by(word) + (f", exit code {word.exit_code}" if word.exit_code else "")


def _by(word: SlurmJobState) -> str:
    return f" by user {word.by}" if word.by else ""


def _because(word: SlurmJobState) -> str:
    return f" ({word.reason})" if word.reason else ""


def _expected(word: SlurmJobState) -> str:
    return f", expected to start at {word.start}" if word.start and not word.hint else ""


def _hint(word: SlurmJobState) -> str:
    return f"; {word.hint}" if word.hint else ""
