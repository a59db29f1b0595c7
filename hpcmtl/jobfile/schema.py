"""The job file as frozen values; field descriptions become the JSON Schema that editors use.

Only what one value shows by itself is checked here (types, ranges, unknown keys); what needs a look at the rest of
the job is in `check.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from hpcmtl.frameworks.registry import DEFAULT
from hpcmtl.jobfile.fields import (
    ByteSize,
    ByteSizeOrNone,
    Callable_,
    CompressionName,
    EngineName,
    FrameworkName,
    Name,
    Reference,
)
from hpcmtl.jobfile.sections import Checkpoints, Layers
from hpcmtl.jobfile.slurm import JobSlurm  # noqa: TC001 - pydantic reads annotations at run time
from hpcmtl.networks.models import Model, Spec

FORMAT_VERSION: Literal[1] = 1

METRICS = ("accuracy", "auc", "log_loss", "mrr", "ndcg", "mse", "r2")
METRICS_WITH_CUTOFF = ("mrr", "ndcg")
SPLITS = ("train", "val", "test")

EdgeKind = Literal["data", "compute", "parameters", "order"]
SplitName = Literal["train", "val", "test"]
Every = Annotated[int, Field(gt=0)] | Literal["layer"]


class ScheduleOptions(Spec):
    """How the learning rate changes over the steps of a task, after a linear warm-up."""

    kind: Literal["constant", "step", "cosine", "poly"] = "constant"
    warmup_epochs: float = Field(default=0.0, ge=0, description="linear warm-up, in epochs")
    warmup_from: float = Field(default=0.0, ge=0, description="learning rate at the first step of the warm-up")
    epochs: tuple[float, ...] = Field(default=(), description="step: where the rate is multiplied by `factor`")
    factor: float = Field(default=0.1, gt=0, le=1, description="step: multiplier at each milestone")
    final: float = Field(default=0.0, ge=0, description="cosine and poly: rate at the end, as a part of the base rate")
    power: float = Field(default=1.0, gt=0, description="poly: exponent")


class Optimizer(Spec):
    """An optimizer of the framework by name, or `package.module:attribute`."""

    name: str
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: ScheduleOptions = ScheduleOptions()
    options: dict[str, Any] = Field(default={}, description="further arguments of the optimizer, e.g. momentum")


class Ranks(Spec):
    """How many ranks a task may have, and which."""

    min: int = Field(default=1, ge=1)
    max: int | None = Field(default=None, ge=1)
    multiple_of: int = Field(default=1, ge=1, description="only multiples of this number")
    powers_of_two: bool = Field(default=False, description="only 1, 2, 4, 8, ...")
    exclusive: bool = Field(default=False, description="no other task on its nodes while it runs")
    memory: ByteSize | None = Field(default=None, description="that each rank needs, e.g. 2GiB")

    def allow(self, width: int) -> bool:
        """Whether the task may have so many ranks."""
        power = not self.powers_of_two or width & (width - 1) == 0
        return self.min <= width <= (self.max or width) and width % self.multiple_of == 0 and power


def _ranks(value: Any) -> Any:
    """A bare number means exactly so many ranks."""
    return {"min": value, "max": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Need(Spec):
    """One edge of the task graph, as its consumer states it."""

    kind: EdgeKind
    mode: Literal["sync", "async"] = Field(default="sync", description="async: both tasks run at the same time")
    every: Every = Field(default="layer", description="async: steps between versions, or `layer`: one a layer")
    staleness: int = Field(default=1, ge=0, description="async: versions that the consumer may be ahead; 0 is sync")

    @model_validator(mode="after")
    def _async_alone(self) -> Need:
        if self.mode == "sync" and (self.every, self.staleness) != ("layer", 1):
            raise ValueError("`every` and `staleness` say how an async edge goes; add `mode: async`")
        return self

    @property
    def live(self) -> bool:
        """Whether the consumer runs beside its producer."""
        return self.mode == "async" and self.staleness > 0


def _need(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _needs(value: Any) -> Any:
    """A list of names means order edges."""
    return dict.fromkeys(value, "order") if isinstance(value, list | tuple) else value


Needs = Annotated[dict[Name, Annotated[Need, BeforeValidator(_need)]], BeforeValidator(_needs)]


class TaskBase(Spec):
    """What every kind of task has."""

    needs: Needs = {}
    priority: int = Field(default=0, description="higher goes first among tasks that are ready")
    ranks: Annotated[Ranks, BeforeValidator(_ranks)] = Ranks()
    layers: int | None = Field(default=None, ge=1, description="number of layers, instead of the rule under `layers:`")
    with_: Name | None = Field(
        default=None,
        alias="with",
        description="a task under `needs` whose ranks it runs on, after it: what is already there need not be moved",
    )
    retries: int = Field(default=0, ge=0, description="tries after a failure, from its last checkpoint")


class Trained(TaskBase):
    """What tasks that change parameters have; None means: as under `defaults`."""

    input: Reference
    epochs: int = Field(gt=0)
    batch_size: int | None = Field(default=None, gt=0, description="samples a step over the whole group")
    optimizer: Optimizer | None = None
    framework: FrameworkName | None = None
    engine: EngineName | None = None
    compression: CompressionName | None = None
    sample_weights: Reference | None = None
    freeze: tuple[str, ...] = Field(default=(), description="patterns of parameter names that are not trained")
    initialise: dict[Name, str] = Field(
        default={},
        description="task -> pattern of the parameter names that are taken from it; default: all that match",
    )
    validate_every: int = Field(default=1, ge=0, description="epochs between validations; 0: never")


class Train(Trained):
    """One network, one loss."""

    kind: Literal["train"] = "train"
    target: Reference
    model: Model
    loss: str
    metrics: tuple[str, ...] = ()


class Trunk(Spec):
    """The shared part of a joint network: a part of the network of another task."""

    from_: Name = Field(alias="from")
    part: str | None = None


class Head(Spec):
    """One objective of a joint task: the network of another task, or a new model, on top of the trunk."""

    from_: Name | None = Field(default=None, alias="from")
    model: Model | None = None
    target: Reference | None = None
    loss: str | None = None
    weight: float = Field(default=1.0, ge=0)
    metrics: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Head:
        if (self.from_ is None) == (self.model is None):
            raise ValueError("a head has either `from: TASK` or `model: {...}`")
        if self.model is not None and (self.target is None or self.loss is None):
            raise ValueError("a head with its own `model` needs `target` and `loss`")
        return self


class Joint(Trained):
    """A shared trunk with several heads, trained together."""

    kind: Literal["joint"] = "joint"
    trunk: Trunk
    heads: Annotated[dict[Name, Head], Field(min_length=1)]


class Applied(TaskBase):
    """What tasks that run a trained network have."""

    input: Reference | None = Field(default=None, description="default: the input that the network was trained on")
    batch_size: int | None = Field(default=None, gt=0, description="samples that a rank runs at once")


class Extract(Applied):
    """Stores what one part of a network makes of every sample, as the array `values`."""

    kind: Literal["extract"] = "extract"
    output: str = Field(description="part of the network, e.g. encoder")


class Predict(Applied):
    """Stores the outputs of a network for every sample, one array an objective."""

    kind: Literal["predict"] = "predict"


class Evaluate(Applied):
    """Metrics of a network on one split."""

    kind: Literal["evaluate"] = "evaluate"
    split: SplitName = "test"
    metrics: tuple[str, ...] = Field(default=(), description="default: those of the evaluated task")


class Python(TaskBase):
    """A callable of the user's, given its group and its inputs."""

    kind: Literal["python"] = "python"
    callable: Callable_
    arguments: dict[str, Any] = {}
    outputs: tuple[Name, ...] = Field(default=(), description="arrays that the callable returns for other tasks")


Task = Annotated[Train | Joint | Extract | Predict | Evaluate | Python, Field(discriminator="kind")]
KINDS = ("train", "joint", "extract", "predict", "evaluate", "python")
TASK = TypeAdapter[Train | Joint | Extract | Predict | Evaluate | Python](Task)


class Defaults(Spec):
    """Values for every task that does not say otherwise."""

    batch_size: int = Field(default=64, gt=0)
    optimizer: Optimizer = Optimizer(name="adam", learning_rate=0.001)
    framework: FrameworkName = DEFAULT
    engine: EngineName | None = Field(default=None, description="default: the first engine of the task's framework")
    compression: CompressionName = "none"


class Merge(Spec):
    """Tasks that bring the parameters that they share together again and again while they run at the same time."""

    tasks: tuple[Name, ...] = Field(min_length=2)
    parameters: str = Field(default="*", description="pattern of the names of the shared parameters")
    every: Every = Field(default="layer", description="steps between rounds, or `layer`: one a layer")
    how: Literal["mean", "samples", "statistics"] = Field(
        default="mean", description="weights: equal, by samples seen since the last round, or by squared gradients"
    )


class Job(Spec):
    """A family of dependent tasks."""

    hpcmtl: Literal[1] = FORMAT_VERSION
    job: Name
    ranks: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    data: dict[Name, str] = Field(default={}, description="name -> HDF5 file, relative to the job file")
    defaults: Defaults = Defaults()
    layers: Layers = Layers()
    policy: str = Field(default="variable", description="planning policy")
    merge: dict[Name, Merge] = Field(default={}, description="parameters that tasks share while they run")
    artifact_memory: ByteSizeOrNone = Field(
        default=256 * 2**20,
        description="artifacts that a rank keeps in memory for tasks that need them; 0: files alone",
    )
    slurm: JobSlurm | None = Field(
        default=None, description="what `hpcmtl submit` asks for; no part of what is trained"
    )
    checkpoints: Checkpoints = Checkpoints()
    modules: tuple[str, ...] = Field(default=(".",), description="folders of users' Python modules, as `data`")
    tasks: dict[Name, Task] = Field(min_length=1)


def make_task(kind: str, **keys: Any) -> Train | Joint | Extract | Predict | Evaluate | Python:
    """Build one task in code, with the keys of the job file; `from` is spelled so in a dict, as in the file."""
    return TASK.validate_python({"kind": kind, **keys})
