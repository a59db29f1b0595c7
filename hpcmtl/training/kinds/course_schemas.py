"""Keys that change the course of a training: when it ends, what is kept of it, and what it changes from when on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hpcmtl.jobfile.tasks import TaskBase
from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec

MonitorMode = Literal["auto", "min", "max"]


class EarlyStoppingKeys(Spec):
    """The metric that ends a training which it does not improve any more."""

    monitor: str = Field(description="name of a metric as in the results, e.g. loss or val_accuracy")
    mode: MonitorMode = Field(default="auto", description="min: smaller is better; auto: by the metric")
    patience: int = Field(gt=0, le=MOST, description="epochs since the best one after which the training ends")
    min_delta: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="smaller changes are no improvement")
    start_epoch: int = Field(default=0, ge=0, le=MOST, description="first epoch that counts, from 0")


class KeepKeys(Spec):
    """The parameters that a training publishes: those after its last epoch, or after the best one."""

    state: Literal["last", "best"] = "last"
    monitor: str | None = Field(default=None, description="best: metric; default: that of `early_stopping`")
    mode: MonitorMode = Field(default="auto", description="min: smaller is better; auto: by the metric")

    @model_validator(mode="after")
    def _of_best(self) -> KeepKeys:
        if self.state == "last" and (self.monitor is not None or self.mode != "auto"):
            raise ValueError("`monitor` and `mode` choose the best epoch; write `state: best`, or leave them out")
        if self.monitor is None and self.mode != "auto":
            raise ValueError("`mode` belongs to `monitor`; name the metric, or leave `mode` out")
        return self


class FreezeKeys(Spec):
    """The epochs in which parameters are frozen; all of them without a key."""

    until: int | None = Field(default=None, gt=0, le=MOST, description="first epoch in which they are trained, from 0")
    from_: int | None = Field(
        default=None, alias="from", gt=0, le=MOST, description="first epoch in which they are frozen, from 0"
    )

    @model_validator(mode="after")
    def _one_change(self) -> FreezeKeys:
        if self.until is not None and self.from_ is not None:
            raise ValueError("write either `until` or `from`: parameters are frozen at the start, or at the end")
        return self

    def holds(self, epoch: int) -> bool:
        """Returns whether the parameters are frozen in an epoch, counted from 0."""
        return epoch >= (self.from_ or 0) and (self.until is None or epoch < self.until)


class L2SPKeys(Spec):
    """A penalty on the distance from the parameters that were taken from another task."""

    strength: float = Field(gt=0, allow_inf_nan=False, description="factor of half the squared distance")
    pattern: str = Field(description="pattern of parameter names, e.g. trunk.*; all are taken from another task")


def _state(value: Any) -> Any:
    """Turns a bare word into the parameters that are kept."""
    return {"state": value} if isinstance(value, str) else value


def _always(value: Any) -> Any:
    """Turns a list of patterns into patterns that are frozen in all epochs."""
    return {pattern: {} for pattern in value} if isinstance(value, list | tuple) else value


KeepKey = Annotated[KeepKeys, BeforeValidator(_state)]
FreezeKey = Annotated[dict[str, FreezeKeys], BeforeValidator(_always)]


class TrainingCourse(TaskBase):
    """The keys that change the course of a training."""

    freeze: FreezeKey = Field(
        default={},
        description="patterns of parameters that are not trained: a list, or pattern -> `until` or `from` an epoch",
    )
    early_stopping: EarlyStoppingKeys | None = Field(
        default=None, description="ends the task before its last epoch, once a metric does not improve"
    )
    keep: KeepKey = Field(
        default=KeepKeys(), description="parameters that are published: `last`, or `best` by a monitored metric"
    )
    l2_sp: L2SPKeys | None = Field(
        default=None, description="pulls parameters toward those that were taken from another task (L2-SP)"
    )

    def stopping(self) -> dict[str, EarlyStoppingKeys]:
        """Returns what ends the training of the task, under an empty name, and of its heads, by their names."""
        return {} if self.early_stopping is None else {"": self.early_stopping}


class HeadCourse(Spec):
    """The keys that end the training of one head."""

    early_stopping: EarlyStoppingKeys | None = Field(
        default=None,
        description="freezes the head and drops its loss, once one of its metrics does not improve",
    )
