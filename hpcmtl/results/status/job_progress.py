"""The progress of a job: the state of its run, weighed with the work that the plan gives to each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.results.history import TaskHistory
from hpcmtl.results.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.results.ledger import LedgerEntry

TRUSTED_SHARE = 0.1
"""Share of the planned work that must be done before the pace so far alone predicts the rest."""

PLANNED, SCALED = "as planned", "the plan, scaled by the pace so far"


@dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """The part of a plan that belongs to one task.

    Attributes:
        kind: task kind; empty for a task that the plan does not know.
        rank_seconds: ranks times seconds that the plan gives to the task.
    """

    kind: str = ""
    rank_seconds: float = 0.0


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job.

    Attributes:
        state: state of the run; its tasks are in the order of the plan.
        planned: planned work of each task by name.
        makespan: planned seconds of the whole job.
    """

    state: RunState
    planned: Mapping[str, PlannedWork]
    makespan: float = 0.0

    @classmethod
    def of_plan(cls, plan: Mapping[str, Any], entries: Iterable[LedgerEntry] = ()) -> JobProgress:
        """Returns the progress of a job with a plan, as in `plan.json`, after the entries of its ledger."""
        tasks = {str(task["name"]): task for task in plan["tasks"]}
        planned = {
            name: PlannedWork(kind=str(task["kind"]), rank_seconds=float((task["end"] - task["start"]) * task["width"]))
            for name, task in tasks.items()
        }
        histories = {name: TaskHistory(layers=int(task["layers"])) for name, task in tasks.items()}
        progress = cls(RunState(histories, ranks=int(plan["ranks"])), planned, float(plan["makespan"]))
        for entry in entries:
            progress.state.take(entry.event, entry.at)
        return progress

    def kind(self, task: str) -> str:
        """Returns the kind of a task; an empty text if the plan does not know the task."""
        return self.planned.get(task, PlannedWork()).kind

    def seconds_left(self, now: float) -> tuple[float, str] | None:
        """Returns the expected seconds until the end of the job and their source; None if it does not run."""
        state = self.state
        total = sum(each.rank_seconds for each in self.planned.values())
        if state.status != "running" or not total > 0:
            return None
        share, before = (
            sum(each.rank_seconds * shares[name] for name, each in self.planned.items()) / total
            for shares in (
                {name: task.share for name, task in state.tasks.items()},
                {name: task.share_before for name, task in state.tasks.items()},
            )
        )
        here = max(share - before, 0.0)  # in this attempt
        trust = min(here / TRUSTED_SHARE, 1.0)
        # Work against planned work, not elapsed time against share: the start of the job and idle ranks stay out of it.
        spent = sum(task.rank_seconds(now) for task in state.tasks.values())
        elapsed = (now - state.started) * total / (self.makespan or 1.0)  # of ledgers without the seconds of layers
        pace = (spent or elapsed) / (here * total) if here > 0 else 1.0
        seconds = (trust * pace + 1 - trust) * self.makespan * (1 - share)
        longest = max((task.seconds_left(now) or 0.0 for task in state.tasks.values()), default=0.0)
        return max(seconds, longest), PLANNED if here <= 0 else SCALED
