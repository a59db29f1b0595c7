"""Keys that the tasks of a job file share, as frozen values, and the names that they may hold.

Each kind of task adds keys of its own: see `hpcmtl.training.kinds`. Field descriptions become the JSON Schema that
editors use. A model checks only its own values (types, ranges, unknown keys); `check.py` compares tasks.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hpcmtl.errors import nearest
from hpcmtl.jobfile.fields import ByteSize, EdgeKind, Every, Name
from hpcmtl.jobfile.resolve import colon_form
from hpcmtl.networks.bounds import MOST, MOST_LAYERS, MOST_RANKS
from hpcmtl.networks.spec import Spec
from hpcmtl.networks.strict import is_number_in_text

SPLITS = ("train", "val", "test")


SCHEDULES = ("constant", "step", "cosine", "poly")
_FUNCTION = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


def _schedule(value: str) -> str:
    if value not in SCHEDULES and not _FUNCTION.match(value):
        own = colon_form(value)
        hint = f"; write {own!r}" if own else nearest(value, (*SCHEDULES, "package.module:attribute"))
        raise ValueError(f"{value!r} is no schedule{hint}")
    return value


class ScheduleOptions(Spec):
    """Change of the learning rate over the steps of a task, after a linear warm-up."""

    kind: Annotated[str, AfterValidator(_schedule)] = Field(
        default="constant",
        description="constant, step, cosine, poly, or package.module:attribute: a function of the progress (0 to 1)",
    )
    warmup_epochs: float = Field(default=0.0, ge=0, description="linear warm-up, in epochs")
    warmup_from: float = Field(default=0.0, ge=0, description="learning rate at the first step of the warm-up")
    epochs: tuple[float, ...] = Field(default=(), description="step: where the rate is multiplied by `factor`")
    factor: float = Field(default=0.1, gt=0, le=1, description="step: multiplier at each milestone")
    final: float = Field(default=0.0, ge=0, description="cosine and poly: rate at the end, as a part of the base rate")
    power: float = Field(default=1.0, gt=0, description="poly: exponent")


def _numbers(options: dict[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if is_number_in_text(value):
            raise ValueError(f"{name} is {value!r}, a text; write the number without quotes")
    return options


Options = Annotated[dict[str, Any], AfterValidator(_numbers)]


class ParameterGroup(Spec):
    """Settings that are different for some parameters; the rest is as in the optimizer of the task."""

    name: str | None = None
    learning_rate: float | None = Field(default=None, gt=0, description="at the start; the schedule holds for it, too")
    weight_decay: float | None = Field(default=None, ge=0)
    options: Options | None = None


class Optimizer(Spec):
    """An optimizer of the framework by name, or `package.module:attribute`."""

    name: str
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: ScheduleOptions = ScheduleOptions()
    clip_norm: float | None = Field(
        default=None, gt=0, description="largest Euclidean norm of all gradients together; larger ones are scaled down"
    )
    options: Options = Field(default={}, description="further arguments of the optimizer, e.g. momentum")
    groups: dict[str, ParameterGroup] = Field(
        default={}, description="pattern of parameter names -> what is different for them; the first match counts"
    )


class Ranks(Spec):
    """Limits on the number and the place of a task's ranks."""

    min: int = Field(default=1, ge=1, le=MOST_RANKS)
    max: int | None = Field(default=None, ge=1, le=MOST_RANKS)
    multiple_of: int = Field(default=1, ge=1, le=MOST_RANKS, description="only multiples of this number")
    powers_of_two: bool = Field(default=False, description="only 1, 2, 4, 8, ...")
    exclusive: bool = Field(default=False, description="no other task on its nodes while it runs")
    memory: ByteSize | None = Field(default=None, description="that each rank needs, e.g. 2GiB")
    gpu_memory: ByteSize | None = Field(default=None, description="that each rank needs on a GPU, e.g. 8GiB")

    def allow(self, width: int) -> bool:
        """Returns true if the task may have this number of ranks."""
        power = not self.powers_of_two or width & (width - 1) == 0
        return self.min <= width <= (self.max or width) and width % self.multiple_of == 0 and power


def _ranks(value: Any) -> Any:
    """Turns a bare number into limits that allow exactly this number of ranks."""
    return {"min": value, "max": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Need(Spec):
    """One edge of the task graph, as its consumer states it."""

    kind: EdgeKind
    mode: Literal["sync", "async"] = Field(default="sync", description="async: both tasks run at the same time")
    every: Every = Field(default="layer", description="async: steps between versions, or `layer`: one a layer")
    staleness: int = Field(
        default=1, ge=0, le=MOST, description="async: versions that the consumer may be ahead; 0 is sync"
    )

    @model_validator(mode="after")
    def _async_alone(self) -> Need:
        if self.mode == "sync" and (self.every, self.staleness) != ("layer", 1):
            raise ValueError("`every` and `staleness` say how an async edge goes; add `mode: async`")
        return self

    @property
    def live(self) -> bool:
        """Returns true if the consumer runs at the same time as its producer."""
        return self.mode == "async" and self.staleness > 0


def _need(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _needs(value: Any) -> Any:
    """Turns a list of names into order edges."""
    return dict.fromkeys(value, "order") if isinstance(value, list | tuple) else value


Needs = Annotated[dict[Name, Annotated[Need, BeforeValidator(_need)]], BeforeValidator(_needs)]


class TaskBase(Spec):
    """The keys of every task; each kind derives its own schema from it, with its name as the default of `kind`."""

    kind: str
    needs: Needs = {}
    priority: int = Field(default=0, ge=-MOST, le=MOST, description="higher goes first among tasks that are ready")
    ranks: Annotated[Ranks, BeforeValidator(_ranks)] = Ranks()
    layers: int | None = Field(
        default=None, ge=1, le=MOST_LAYERS, description="number of layers, instead of the rule under `layers:`"
    )
    with_: Name | None = Field(
        default=None,
        alias="with",
        description="a task under `needs` whose ranks it runs on, after it: what is already there need not be moved",
    )
    retries: int = Field(default=0, ge=0, le=MOST, description="tries after a failure, from its last checkpoint")
