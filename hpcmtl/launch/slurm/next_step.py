"""Decision after an attempt of a batch job: success only by its completion record, else another attempt or the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hpcmtl.errors import ExitCode

Action = Literal["end", "requeue", "successor"]
CLOSE_TO_END = 60.0  # an end within these seconds before the time limit is attributed to the limit


@dataclass(frozen=True, kw_only=True)
class AttemptOutcome:
    """Holds the facts about an attempt that is over.

    Attributes:
        record: status in its completion record; None if there is none.
        code: exit code of the launcher.
        ended_by_slurm: True if Slurm has sent SIGTERM.
        at_limit: True if the time limit was reached.
        further: number of further attempts that hpcmtl has already requested.
        allowed: maximum number of further attempts.
        restart: method of the next attempt.
        stuck: True if neither this attempt nor the previous one made progress.
        in_slurm: True if it was part of a Slurm job.
        cancelled_by: user who cancelled the whole job while it ran; else empty.
        preempted: True if Slurm has stopped it for another job; the next attempt is not counted then.
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
    preempted: bool = False


@dataclass(frozen=True)
class NextStep:
    """Holds the action after an attempt.

    Attributes:
        action: end, or the method of the next attempt.
        code: exit code of the batch script.
        why: explanation for the user.
        code_alone: exit code if the next attempt cannot be started.
    """

    action: Action
    code: int
    why: str
    code_alone: int = int(ExitCode.STOPPED)


def decide(attempt: AttemptOutcome) -> NextStep:
    """Decides the action after an attempt; an attempt without its record is never a success."""
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
    obstacle = _obstacle(attempt)
    if obstacle:
        return NextStep("end", code, f"{what}; {obstacle}")
    return NextStep(attempt.restart, int(ExitCode.STOPPED), what, code)


def _obstacle(attempt: AttemptOutcome) -> str:
    """Returns the reason against another attempt, or an empty string."""
    if attempt.cancelled_by:
        return f"{attempt.cancelled_by} cancelled it: hpcmtl resume goes on with it"
    if not attempt.in_slurm:
        return "hpcmtl resume goes on with it"
    if attempt.ended_by_slurm and not attempt.at_limit:
        return "Slurm has ended the job (scancel, requeue or preemption), and what comes next is not for hpcmtl to say"
    if attempt.allowed == 0:
        return "no further attempt was asked for"
    if attempt.preempted:
        return ""
    if attempt.further >= attempt.allowed:
        one = attempt.allowed == 1
        return "the 1 further attempt is used" if one else f"all {attempt.allowed} further attempts are used"
    if attempt.stuck:
        return "two attempts in a row made no progress, so another would make none"
    return ""
