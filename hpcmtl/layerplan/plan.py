"""The layer plan: layers, ranks and turn of each task, and a bound on the distance from the optimum."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.jobfile.kind_facts import NO_FACTS, KindFacts
from hpcmtl.jobfile.kind_registry import is_kind, load_kind
from hpcmtl.layerplan.model.family import Family
from hpcmtl.layerplan.model.machine import ONE_NODE, Machine
from hpcmtl.layerplan.solve.bounds import gap

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ranked(Protocol):
    """Has the properties that decide the turn of a task."""

    @property
    def job_priority(self) -> int:
        """Priority from the job file."""

    @property
    def priority(self) -> float:
        """Bottom level in seconds."""

    @property
    def layers(self) -> int:
        """Number of task layers."""

    @property
    def name(self) -> str:
        """Name of the task."""


def dispatch_key(task: Ranked) -> tuple[int, float, int, str]:
    """Returns the sort key of ready tasks: the smallest goes first, in every plan and every run.

    The order is: priority of the job file, bottom level (seconds of work that depend on the task), number of task
    layers (the larger input first), name.
    """
    return (-task.job_priority, -task.priority, -task.layers, task.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """Holds one task of a plan.

    Attributes:
        name: name in the job file.
        kind: task kind.
        layers: number of task layers.
        width: number of ranks.
        job_priority: priority from the job file.
        priority: bottom level in seconds at the widths of the plan; higher goes first.
        order: position among all tasks by `dispatch_key`, from 0.
        wave: index of the task's start among the distinct starts, from 0; with `LayerPlan.barrier`, of its barrier.
        start: planned start, in seconds from the start of the job.
        end: planned end, in seconds from the start of the job.
        late_end: end of the task if every task takes its P90 time; it is compared with a time limit.
        first_rank: first rank of the group, which ends at `first_rank + width - 1`.
        critical: True if a delay of the task delays the whole job: ranks and dependencies leave it no `slack`.
        family: key of the predictor of its times.
        facts: properties of its kind.
        turn: position in which the planner packed it, from 0; None in a plan of an earlier version.
    """

    name: str
    kind: str
    layers: int
    width: int
    job_priority: int
    priority: float
    order: int
    wave: int
    start: float
    end: float
    late_end: float
    first_rank: int
    critical: bool
    family: Family
    facts: KindFacts = NO_FACTS
    turn: int | None = None


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """Holds a valid plan with a certified lower bound.

    Attributes:
        policy: name of the policy that made it.
        ranks: number of ranks.
        makespan: predicted seconds from the first start to the last end.
        lower_bound: lower bound of the makespan of every plan in seconds, if the predicted times are right.
        utilisation: busy rank-seconds over ranks times makespan, from 0 to 1.
        barrier: True if a wave starts only after the previous wave has ended on all ranks.
        tasks: in topological order.
        machine: the machine that the plan is for.
    """

    policy: str
    ranks: int
    makespan: float
    lower_bound: float
    utilisation: float
    barrier: bool
    tasks: tuple[PlannedTask, ...]
    machine: Machine = ONE_NODE

    @property
    def gap(self) -> float:
        """Relative distance from the lower bound; see `bounds.gap`."""
        return gap(self.makespan, self.lower_bound)

    @property
    def size(self) -> str:
        """Numbers of tasks and ranks in words."""
        tasks = "1 task" if len(self.tasks) == 1 else f"{len(self.tasks)} tasks"
        return f"{tasks} on " + ("1 rank" if self.ranks == 1 else f"{self.ranks} ranks")

    @property
    def turns(self) -> tuple[int, ...]:
        """Positions in which the planner packed the tasks; by planned starts where they are not known."""
        known = tuple(task.turn for task in self.tasks if task.turn is not None)
        if len(known) == len(self.tasks):
            return known
        first = sorted(range(len(self.tasks)), key=lambda i: (self.tasks[i].start, self.tasks[i].order))
        return tuple(sorted(range(len(first)), key=first.__getitem__))

    def task(self, name: str) -> PlannedTask:
        """Returns one task by name.

        Raises:
            KeyError: the plan has no task of this name.
        """
        found = next((task for task in self.tasks if task.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def waves(self) -> tuple[tuple[PlannedTask, ...], ...]:
        """Returns the tasks grouped by planned start, wave after wave; within a wave in dispatch order."""
        ordered = sorted(self.tasks, key=lambda task: (task.wave, task.order))
        return tuple(tuple(wave) for _, wave in itertools.groupby(ordered, key=lambda task: task.wave))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for `plan.json`; `gap` is included for readers."""
        return {**asdict(self), "gap": self.gap, "tasks": [asdict(task) for task in self.tasks]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerPlan:
        """Returns the plan that `to_dict` was called on."""
        fields = {key: value for key, value in values.items() if key != "gap"}
        tasks = (PlannedTask(**{**task, **_family_and_facts(task)}) for task in fields["tasks"])
        machine: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields["machine"].items()
        }
        return cls(**{**fields, "tasks": tuple(tasks), "machine": Machine(**machine)})


def _family_and_facts(task: Mapping[str, Any]) -> dict[str, Any]:
    """Returns both values of a planned task from `plan.json`; a plan of an earlier version has them from the kind."""
    if "facts" in task:
        return {"family": Family(*task["family"]), "facts": KindFacts(**task["facts"])}
    facts = load_kind(task["kind"]).facts if is_kind(task["kind"]) else NO_FACTS
    return {"family": Family(*task["family"])._replace(trains=facts.has_learning_rate), "facts": facts}
