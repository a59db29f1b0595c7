"""Attempts of a run: what each has brought, from the ledger, and what was concluded from it, in ``attempts.jsonl``.

The ledger has one writer, the run itself. What the batch script concludes after it, and the attempts that died before
they could write anything, are kept in a log of their own, of the same form.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError
from hpcmtl.results.events import AttemptConcluded
from hpcmtl.results.ledger import Ledger, read
from hpcmtl.results.outcome.record import read_record
from hpcmtl.results.status.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory

FILE = "attempts.jsonl"
_ENDED = frozenset({"complete", "failed", "cancelled", "skipped"})
_NAMED = 3  # tasks that a line about the next attempt names


@dataclass(frozen=True)
class Conclusion:
    """What was concluded from one attempt.

    Attributes:
        attempt: its id.
        job: name of the batch job that it was part of.
        action: end, requeue or successor.
        successor: name of the batch job that follows; empty if none does, or the same one.
        progressed: whether it brought the run further.
        at: seconds since 1970.
    """

    attempt: str
    job: str
    action: str
    successor: str
    progressed: bool
    at: float


def status_left(run: RunDirectory, attempt: str) -> str | None:
    """The status that an attempt has left in its completion record; None if it has left none.

    A run that is complete stays so: an attempt at it has nothing to do, and so leaves the record as it is.
    """
    record = read_record(run) or {}
    own = record.get("attempt_id", "") == attempt or record.get("status") == "complete"
    return str(record["status"]) if record and own else None


def progress_by_attempt(events: Iterable[Mapping[str, Any]]) -> dict[str, tuple[float, bool]]:
    """Each attempt of a ledger -> when it began, and whether it brought the run further.

    Further is a layer that ended, a checkpoint of a step that no attempt had before, or steps before a stop.
    """
    told: dict[str, tuple[float, bool]] = {}
    seen: set[tuple[Any, ...]] = set()
    attempt = ""
    for event in events:
        name = event["event"]
        if name == "job_started":
            attempt = str(event.get("attempt_id", ""))
            told[attempt] = (datetime.fromisoformat(event["time"]).timestamp(), False)
            continue
        mark = _mark(event, attempt)
        if mark is not None and mark not in seen:
            seen.add(mark)
            began, _ = told.get(attempt, (0.0, False))
            told[attempt] = (began, True)
    return told


def _mark(event: Mapping[str, Any], attempt: str) -> tuple[Any, ...] | None:
    name = event["event"]
    if name == "layer_stopped":
        return (attempt, name, event.get("task"), event.get("layer")) if event.get("steps") else None
    if name == "layer_ended" or name.startswith("checkpoint"):
        return name, *(event.get(key) for key in ("task", "layer", "step"))
    return None


def stuck(run: RunDirectory, attempt: str) -> tuple[bool, bool]:
    """Whether an attempt brought the run further, and whether neither it nor the one before did.

    Raises:
        InputError: the ledger is damaged.
    """
    told = progress_by_attempt(read(run.ledger_file)) if run.ledger_file.exists() else {}
    for earlier in conclusions(run.path):
        told.setdefault(earlier.attempt, (earlier.at, earlier.progressed))
    mine = told.pop(attempt, (0.0, False))[1]
    before = max(told.values(), default=(0.0, True))[1]
    return mine, not mine and not before


def conclude_attempt(run: Path, **fields: Any) -> None:
    """Write down a conclusion; of several for one attempt the last counts."""
    with closing(Ledger(run / FILE)) as log:
        log.append(AttemptConcluded(**fields))


def conclusions(run: Path) -> list[Conclusion]:
    """What was concluded from earlier attempts, in order, once each."""
    if not (run / FILE).exists():
        return []
    found: dict[str, Conclusion] = {}
    for event in read(run / FILE):
        if event["event"] != AttemptConcluded.name:
            continue
        found[event["attempt"]] = Conclusion(
            attempt=str(event["attempt"]),
            job=str(event["job"]),
            action=str(event["action"]),
            successor=str(event["successor"]),
            progressed=bool(event["progressed"]),
            at=datetime.fromisoformat(event["time"]).timestamp(),
        )
    return list(found.values())


def further_attempts(run: Path, job: str) -> int:
    """How many attempts hpcmtl has asked for since a person submitted: back along the requeues and successors."""
    chain, count = {job}, 0
    for conclusion in reversed(conclusions(run)):
        follows = conclusion.successor or conclusion.job
        if conclusion.action != "end" and follows in chain:
            chain.add(conclusion.job)
            count += 1
    return count


def where_it_goes_on(run: Path) -> str:
    """``layer 3 of digit, layer 1 of joint``: where the next attempt resumes; ``the start`` if nothing was begun."""
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
