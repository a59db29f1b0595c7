"""The layer plan: for each task its layers, ranks and turn, and how far from optimal the whole can be."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.layerplan.model.machine import ONE_NODE, Machine
from hpcmtl.layerplan.model.speedup import Family
from hpcmtl.layerplan.solve.bounds import gap

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ranked(Protocol):
    """What decides the turn of a task."""

    @property
    def job_priority(self) -> int:
        """Priority of the job file."""

    @property
    def priority(self) -> float:
        """Bottom level in seconds."""

    @property
    def layers(self) -> int:
        """Number of layers."""

    @property
    def name(self) -> str:
        """Name of the task."""


def dispatch_key(task: Ranked) -> tuple[int, float, int, str]:
    """Sort key of tasks that are ready: the smallest goes first, in every plan and every run.

    The job's own priority decides, then the bottom level (seconds of work that waits behind the task), then the number
    of layers (the larger input first), then the name.
    """
    return (-task.job_priority, -task.priority, -task.layers, task.name)


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One task of a plan.

    Attributes:
        name: as in the job file.
        kind: task kind.
        layers: number of layers.
        width: number of ranks.
        job_priority: priority of the job file.
        priority: bottom level in seconds at the widths of the plan; higher goes first.
        order: position among all tasks by `dispatch_key`, from 0.
        wave: which of the planned moments it starts at, from 0; with `LayerPlan.barrier` the barrier that it waits for.
        start: planned, seconds from the start of the job.
        end: planned, seconds from the start of the job.
        late_end: of this plan if every task is as late as only one in ten is; what a time limit is compared with.
        first_rank: the group is the ranks from here to `first_rank + width - 1`.
        critical: whether a delay of it delays everything, ranks being plenty.
        family: what predicts its times.
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


@dataclass(frozen=True)
class LayerPlan:
    """A valid plan, with a certified lower bound.

    Attributes:
        policy: name of the policy that made it.
        ranks: number of ranks it was made for.
        makespan: predicted seconds from the first start to the last end.
        lower_bound: seconds that no plan can be faster than, if the predicted times are right.
        utilisation: busy rank-seconds over ranks times makespan, from 0 to 1.
        barrier: whether a wave starts only when the wave before has ended on all ranks.
        tasks: in topological order.
        machine: what it was made for.
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
        """See `bounds.gap`."""
        return gap(self.makespan, self.lower_bound)

    def task(self, name: str) -> PlannedTask:
        """One task by name.

        Raises:
            KeyError: the plan has none of this name.
        """
        found = next((task for task in self.tasks if task.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def waves(self) -> tuple[tuple[PlannedTask, ...], ...]:
        """The tasks that the plan starts together, wave after wave; inside a wave in order of dispatch."""
        ordered = sorted(self.tasks, key=lambda task: (task.wave, task.order))
        return tuple(tuple(wave) for _, wave in itertools.groupby(ordered, key=lambda task: task.wave))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `plan.json`; `gap` stands there for readers."""
        return {**asdict(self), "gap": self.gap, "tasks": [asdict(task) for task in self.tasks]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerPlan:
        """The plan that `to_dict` was called on."""
        fields = {key: value for key, value in values.items() if key != "gap"}
        tasks = (PlannedTask(**{**task, "family": Family(*task["family"])}) for task in fields["tasks"])
        machine: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields["machine"].items()
        }
        return cls(**{**fields, "tasks": tuple(tasks), "machine": Machine(**machine)})
