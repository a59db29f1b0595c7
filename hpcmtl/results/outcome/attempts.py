"""Attempts of a run, and the conclusions that the batch script drew from them, in ``attempts.jsonl``.

The ledger has one writer, the run itself. The batch script writes after it, and also of attempts that died before they
could write anything: its conclusions are in a log of their own, of the same form.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError
from hpcmtl.results.events import AttemptConcluded
from hpcmtl.results.ledger import Ledger, read_events
from hpcmtl.results.outcome.record import read_record
from hpcmtl.results.run_state import read_run_state
from hpcmtl.results.status.status import read_status

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory

FILE = "attempts.jsonl"
_ENDED = frozenset({"complete", "failed", "cancelled", "skipped"})
_NAMED = 3  # number of tasks that a line about the next attempt names


@dataclass(frozen=True)
class Conclusion:
    """The conclusion that was drawn from one attempt.

    Attributes:
        attempt: id of the attempt.
        job: id of the batch job that the attempt was part of.
        action: end, requeue or successor.
        successor: id of the batch job that follows; empty if none does, or if it is the same job.
        progressed: true if the attempt brought the run further.
        at: time of the conclusion, seconds since 1970.
        preempted: true if Slurm stopped the attempt for another job.
    """

    attempt: str
    job: str
    action: str
    successor: str
    progressed: bool
    at: float
    preempted: bool = False


def status_left(run: RunDirectory, attempt: str) -> str | None:
    """Returns the status in the completion record of an attempt; None if the attempt has left none.

    A complete run stays complete: a further attempt has nothing to do and leaves the record as it is.
    """
    record = read_record(run) or {}
    own = record.get("attempt_id", "") == attempt or record.get("status") == "complete"
    return str(record["status"]) if record and own else None


def stuck(run: RunDirectory, attempt: str) -> tuple[bool, bool]:
    """Returns true if an attempt brought the run further, and true if neither it nor the one before did.

    Attempts that Slurm stopped for other jobs do not count: they may have had no time to get further.

    Raises:
        InputError: the ledger is damaged.
    """
    found = {each.id: (each.started, each.progressed) for each in read_run_state(run.ledger_file).attempts}
    for earlier in conclusions(run.path):
        found.setdefault(earlier.attempt, (earlier.at, earlier.progressed))
        if earlier.preempted and not found[earlier.attempt][1]:
            del found[earlier.attempt]
    mine = found.pop(attempt, (0.0, False))[1]
    before = max(found.values(), default=(0.0, True))[1]
    return mine, not mine and not before


def conclude_attempt(run: Path, **fields: Any) -> None:
    """Writes a conclusion, see `AttemptConcluded` for its fields; of several for one attempt the last counts."""
    with closing(Ledger(run / FILE)) as log:
        log.append(AttemptConcluded(**fields))


def conclusions(run: Path) -> list[Conclusion]:
    """Returns the last conclusion of each earlier attempt, in order."""
    if not (run / FILE).exists():
        return []
    found: dict[str, Conclusion] = {}
    for event, at in read_events(run / FILE):
        if isinstance(event, AttemptConcluded):
            found[event.attempt] = Conclusion(
                attempt=event.attempt,
                job=event.job,
                action=event.action,
                successor=event.successor,
                progressed=event.progressed,
                at=at,
                preempted=event.preempted,
            )
    return list(found.values())


def further_attempts(run: Path, job: str) -> int:
    """Returns the number of attempts since a person submitted: counted back along the requeues and successors.

    An attempt that follows a preemption is not counted.
    """
    chain, count = {job}, 0
    for conclusion in reversed(conclusions(run)):
        follows = conclusion.successor or conclusion.job
        if conclusion.action != "end" and follows in chain:
            chain.add(conclusion.job)
            count += not conclusion.preempted
    return count


def where_it_goes_on(run: Path) -> str:
    """Returns the place where the next attempt resumes, e.g. ``layer 3 of digit``, or ``the start``."""
    try:
        tasks = read_status(run)["tasks"]
    except InputError:
        return "the start"
    begun = [
        f"layer {task['layers_done'] + 1} of {name}"
        for name, task in tasks.items()
        if task["status"] not in _ENDED and (task["layers_done"] or task["ranks"])
        if task["layers_done"] < task["layers"]
    ]
    if not begun and any(task["status"] in _ENDED or task["layers_done"] for task in tasks.values()):
        return "the tasks that are left"
    more = f" and {len(begun) - _NAMED} more" if len(begun) > _NAMED else ""
    return (", ".join(begun[:_NAMED]) + more) or "the start"
