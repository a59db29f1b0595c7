"""What becomes of a batch job after an attempt: success by its completion record alone, else another or the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hpcmtl.errors import ExitCode

Action = Literal["end", "requeue", "successor"]
CLOSE_TO_END = 60.0  # seconds before the limit from which on it is the limit that ended a job


@dataclass(frozen=True)
class AttemptOutcome:
    """What is known of an attempt that is over.

    Attributes:
        record: the status in its completion record; None if it has left none.
        code: exit code of the launcher.
        ended_by_slurm: Slurm has sent TERM.
        at_limit: the time limit was reached.
        further: attempts that hpcmtl has asked for before.
        allowed: of those, at most.
        restart: how the next one comes.
        stuck: neither it nor the one before brought the run further.
        in_slurm: it was part of a job of Slurm.
        cancelled_by: who cancelled the whole job while it ran; empty if nobody did.
    """

    record: str | None
    code: int
    ended_by_slurm: bool = False
    at_limit: bool = False
    further: int = 0
    allowed: int = 0
    restart: Action = "requeue"
    stuck: bool = False
    in_slurm: bool = True
    cancelled_by: str = ""


@dataclass(frozen=True)
class NextStep:
    """What is done about an attempt.

    Attributes:
        action: end, or how the next attempt comes.
        code: exit code of the batch script.
        why: for people.
        code_alone: exit code if no next attempt can be had.
    """

    action: Action
    code: int
    why: str
    code_alone: int = int(ExitCode.STOPPED)


def decide(attempt: AttemptOutcome) -> NextStep:
    """Decide on the end of an attempt; never is one without its record taken for a success."""
    if attempt.record == "complete":
        return NextStep("end", ExitCode.COMPLETE, "complete")
    if attempt.record in {"failed", "incomplete"}:
        why = (
            "failed: another attempt would fail alike"
            if attempt.record == "failed"
            else "incomplete: tasks were cancelled"
        )
        return NextStep("end", ExitCode.TASK_FAILED, why)
    if attempt.record is None and attempt.code in {ExitCode.BAD_INPUT, ExitCode.ENVIRONMENT_UNFIT}:
        return NextStep("end", attempt.code, f"refused (exit code {attempt.code}): the log says why and what to do")
    if attempt.record == "stopped":
        code, what = int(ExitCode.STOPPED), "stopped with checkpoints"
    elif attempt.code == ExitCode.STOPPED:
        code, what = int(ExitCode.STOPPED), "stopped before it began"
    else:
        code = attempt.code or int(ExitCode.TASK_FAILED)
        what = f"lost: it left no completion record (exit code {attempt.code})"
    against = _against(attempt)
    if against:
        return NextStep("end", code, f"{what}; {against}")
    return NextStep(attempt.restart, int(ExitCode.STOPPED), what, code)


def _against(attempt: AttemptOutcome) -> str:
    """What speaks against another attempt; empty if nothing does."""
    if attempt.cancelled_by:
        return f"{attempt.cancelled_by} cancelled it: hpcmtl resume goes on with it"
    if not attempt.in_slurm:
        return "hpcmtl resume goes on with it"
    if attempt.ended_by_slurm and not attempt.at_limit:
        return "Slurm has ended the job (scancel, requeue or preemption), and what comes next is not for hpcmtl to say"
    if attempt.allowed == 0:
        return "no further attempt was asked for"
    if attempt.further >= attempt.allowed:
        return f"all {attempt.allowed} further attempts are used"
    if attempt.stuck:
        return "two attempts in a row made no progress, so another would make none"
    return ""
