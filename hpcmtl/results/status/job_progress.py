"""Where every task of a job stands: from its plan, the events of its ledger, and word of steps.

Rank 0 keeps one while it runs, and `hpcmtl status` makes one of what the run directory holds. Times are seconds since
1970, as clocks of several machines read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.results.sinks.terminal import StepProgress

# With less of the planned work done than this, what the plan says of the rest counts as well as the pace so far.
TRUSTED_SHARE = 0.1
OPEN = frozenset({"waiting", "running", "held"})
PLANNED, SCALED = "as planned", "the plan, scaled by the pace so far"


@dataclass
class TaskProgress:
    """Where one task stands.

    Attributes:
        kind: task kind; empty if the plan does not know the task.
        layers: number of layers.
        weight: rank-seconds that the plan gives it.
        status: waiting, running, held (between layers), or as it ended.
        layers_done: layers that have ended.
        layer: the layer that runs, or ran last.
        ranks: first and last rank of its group; none before it has one.
        since: when that layer began.
        progress: of that layer, as last reported.
        message: why it did not complete, or is tried again.
    """

    kind: str = ""
    layers: int = 1
    weight: float = 0.0
    status: str = "waiting"
    layers_done: int = 0
    layer: int = 0
    ranks: tuple[int, int] | None = None
    since: float = 0.0
    progress: StepProgress | None = None
    message: str = ""

    @property
    def share(self) -> float:
        """Part of the task that is done, 0 to 1; nothing more is to be done for one that has ended."""
        if self.status not in OPEN:
            return 1.0
        within = self.progress.fraction if self.progress is not None and self.status == "running" else 0.0
        return min((self.layers_done + within) / max(self.layers, 1), 1.0)

    def renumber(self, survivors: Sequence[int]) -> None:
        """Name the ranks that are left of its group as they are numbered now; `survivors` are their old numbers."""
        block = [] if self.ranks is None else range(self.ranks[0], self.ranks[1] + 1)
        left = [rank for rank, old in enumerate(survivors) if old in block]
        self.ranks = (left[0], left[-1]) if left else None

    def left(self, now: float) -> float | None:
        """Seconds until the running layer ends, at its pace so far; None if nothing is known."""
        if self.status != "running" or self.progress is None or self.progress.fraction <= 0:
            return None
        return max((now - self.since) * (1 - self.progress.fraction) / self.progress.fraction, 0.0)


@dataclass
class JobProgress:
    """Where a job stands.

    Attributes:
        tasks: by name.
        makespan: seconds that the plan says.
        job: name of the job.
        ranks: size of the world.
        started: when its last attempt began; 0 before that.
        ended: when it ended; 0 before that.
        status: preparing, running, stopping, or as it ended.
        suspects: ranks that are suspect -> what the ledger says of it.
        latest: time of the latest event.
        lost: what the ledger says of each rank that this attempt lost.
        done_before: part of the planned work that was done when this attempt began.
    """

    tasks: dict[str, TaskProgress]
    makespan: float = 0.0
    job: str = ""
    ranks: int = 0
    started: float = 0.0
    ended: float = 0.0
    status: str = "preparing"
    suspects: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    latest: float = 0.0
    lost: list[Mapping[str, Any]] = field(default_factory=list)
    done_before: float = 0.0

    @classmethod
    def of_plan(cls, plan: Mapping[str, Any]) -> JobProgress:
        """A job that is about to begin; the plan as in `plan.json`."""
        tasks = {
            str(task["name"]): TaskProgress(
                str(task["kind"]), int(task["layers"]), float((task["end"] - task["start"]) * task["width"])
            )
            for task in plan["tasks"]
        }
        return cls(tasks, float(plan["makespan"]), ranks=int(plan["ranks"]))

    def take_event(self, event: Mapping[str, Any]) -> None:
        """Take in an event as it stands in the ledger."""
        fields = {key: value for key, value in event.items() if key not in {"event", "time"}}
        self.take(event["event"], fields, datetime.fromisoformat(event["time"]).timestamp())

    def take(self, event: str, fields: Mapping[str, Any], at: float) -> None:
        """Take in an event of the ledger; those that say nothing of where things stand are passed over.

        Args:
            event: what happened.
            fields: facts about it.
            at: when.
        """
        self.latest = at
        if event == "job_started":
            self.job, self.ranks = str(fields["job"]), int(fields["ranks"])
            self.started, self.status = at, "running"
            self._begin_again()
        elif event == "job_ended":
            self.ended, self.status = at, str(fields["status"])
            for line in self.tasks.values():
                line.status = "stopped" if line.status in OPEN else line.status
        elif event == "job_stopping":
            self.status = "stopping"
        elif event in {"rank_suspected", "rank_recovered", "rank_lost", "world_shrunk"}:
            self._take_rank(event, fields)
        elif fields.get("task") and event not in {"rank_hung", "request_accepted", "request_refused"}:
            self._take_task(self.tasks.setdefault(str(fields["task"]), TaskProgress()), event, fields, at)

    def _take_rank(self, event: str, fields: Mapping[str, Any]) -> None:
        if event == "rank_suspected":
            self.suspects[int(fields["rank"])] = fields
        elif event == "rank_recovered":
            self.suspects.pop(int(fields["rank"]), None)
        elif event == "rank_lost":
            self.lost.append(fields)
        else:
            self.ranks = int(fields["ranks"])
            self.suspects.clear()  # they are numbered anew
            for line in self.tasks.values():
                line.renumber(fields["survivors"])

    def progressed(self, progress: StepProgress) -> None:
        """Note how far a layer is; late word of a layer that has ended is passed over."""
        line = self.tasks.get(progress.task)
        if line is not None and line.status == "running" and line.layer == progress.layer:
            line.progress = progress

    def left(self, now: float) -> tuple[float, str] | None:
        """Seconds until the job ends and how they were worked out; None if it does not run or has no plan."""
        if self.status != "running" or not any(line.weight > 0 for line in self.tasks.values()):
            return None
        share = self._share()
        here = max(share - self.done_before, 0.0)  # in this attempt
        trust = min(here / TRUSTED_SHARE, 1.0)
        scaled = (now - self.started) * (1 - share) / here if here > 0 else 0.0
        seconds = trust * scaled + (1 - trust) * self.makespan * (1 - share)
        longest = max((line.left(now) or 0.0 for line in self.tasks.values()), default=0.0)
        return max(seconds, longest), PLANNED if here <= 0 else SCALED

    def _begin_again(self) -> None:
        """Another attempt begins: what is left unfinished waits again; what failed is tried once more."""
        self.ended = 0.0
        self.suspects.clear()
        self.lost.clear()
        for line in self.tasks.values():
            if line.status not in {"complete", "cancelled"}:
                line.status, line.message, line.progress = "waiting", "", None
        self.done_before = self._share()

    def _share(self) -> float:
        """Part of the planned work that is done, 0 to 1."""
        total = sum(line.weight for line in self.tasks.values())
        return sum(line.weight * line.share for line in self.tasks.values()) / total if total > 0 else 0.0

    @staticmethod
    def _take_task(line: TaskProgress, event: str, fields: Mapping[str, Any], at: float) -> None:
        if event == "layer_started":
            first = int(fields["first_rank"])
            line.status, line.layer, line.layers = "running", int(fields["layer"]), int(fields["layers"])
            line.ranks, line.since, line.progress = (first, first + int(fields["ranks"]) - 1), at, None
            line.message = ""
        elif event in {"layer_ended", "layer_stopped"}:
            line.status, line.progress = "held", None
            line.layers_done = int(fields["layer"]) + (event == "layer_ended")
        elif event == "layer_restarted":
            line.status, line.progress, line.message = "waiting", None, "a rank was lost: the layer begins again"
        elif event == "task_retried":
            line.status = "waiting"
            line.message = f"try {fields['retry']} of {fields['retries']} after: {fields['message']}"
        elif event == "task_ended":
            line.status, line.message = str(fields["status"]), str(fields["message"])
