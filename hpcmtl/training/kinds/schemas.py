"""Keys of the tasks of each kind, as frozen values; field descriptions become the JSON Schema that editors use.

They stand apart from the kinds, so that a session can name the type of its task without its kind.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from hpcmtl.errors import nearest
from hpcmtl.jobfile.fields import (
    Callable_,
    CompressionName,
    DeviceName,
    EngineName,
    FrameworkName,
    Name,
    Precision,
    Reference,
    SplitName,
)
from hpcmtl.jobfile.inputs import InputReferences, InputTransforms
from hpcmtl.jobfile.tasks import Optimizer, TaskBase
from hpcmtl.jobfile.weighting import WeightingKey
from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec
from hpcmtl.networks.zoo import Model
from hpcmtl.training.kinds.architecture_schema import ArchitectureKeys
from hpcmtl.training.kinds.coupled_heads_schema import CoupledHeadsKeys, HeadInputKeys
from hpcmtl.training.kinds.course_schemas import EarlyStoppingKeys, HeadCourse, TrainingCourse
from hpcmtl.training.kinds.increment_schema import IncrementKeys
from hpcmtl.training.kinds.label_schema import LabelKeys
from hpcmtl.training.kinds.mode_schema import ModeKeys
from hpcmtl.training.kinds.pretrained_schema import OriginName
from hpcmtl.training.kinds.sampler_schema import SamplerKeys
from hpcmtl.training.kinds.source_schemas import MixtureKeys, SourceKeys

OUTPUT_TYPES = {
    "bool": ("b", 1),
    "text": ("U", 4),
    **{f"int{8 * size}": ("i", size) for size in (1, 2, 4, 8)},
    **{f"uint{8 * size}": ("u", size) for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": ("f", size) for size in (2, 4, 8)},
    **{f"complex{8 * size}": ("c", size) for size in (8, 16)},
}
"""Types of the arrays that a python task can declare: numpy's kind, and the bytes of a value."""


def _output_type(value: str) -> str:
    if value in OUTPUT_TYPES:
        return value
    dates = value.startswith(("date", "time"))
    remedy = "; give dates as int64 and say their unit" if dates else nearest(value, OUTPUT_TYPES)
    raise ValueError(f"{value!r} is no type of an output{remedy}")


OutputType = Annotated[str, AfterValidator(_output_type)]


class Trained(TrainingCourse):
    """The keys of tasks that change parameters; None means: as under `defaults`."""

    sources: dict[Name, SourceKeys] = Field(
        default={}, description="several data sets instead of one: name -> its input and targets"
    )
    mixture: MixtureKeys | None = Field(default=None, description="how steps are composed of `sources`")
    input: InputReferences | None = Field(default=None, validate_default=True)
    epochs: int = Field(gt=0, le=MOST)
    batch_size: int | None = Field(default=None, gt=0, le=MOST, description="samples a step over the whole group")
    accumulate: int = Field(
        default=1,
        gt=0,
        le=MOST,
        description="micro-batches in which a rank computes its share, to save memory",
    )
    precision: Precision = Field(
        default="fp32", description="type that the network computes in; parameters and updates are float32"
    )
    sync_batchnorm: bool = Field(
        default=False, description="batch normalisation by the statistics of the whole batch, over all ranks"
    )
    optimizer: Optimizer | None = None
    framework: FrameworkName | None = None
    device: DeviceName | None = None
    engine: EngineName | None = None
    compression: CompressionName | None = None
    sample_weights: Reference | None = None
    increment: IncrementKeys | None = Field(
        default=None, description="goes on from an earlier run, on the rows that were added since"
    )
    sampler: SamplerKeys | None = Field(default=None, description="default: each sample once an epoch")
    transform: InputTransforms = Field(
        default=(), description="transforms of the samples of `input`: a name, or a mapping with options, or a list"
    )
    initialise: dict[Name, str] = Field(
        default={},
        description="task -> pattern of the parameter names that are taken from it; default: all that match",
    )
    buckets: tuple[Annotated[int, Field(gt=0, le=MOST)], ...] | None = Field(
        default=None,
        description="lengths to which batches of sequences are padded; default: at most three, by the train samples",
    )
    validate_every: int = Field(default=1, ge=0, le=MOST, description="epochs between validations; 0: never")

    @field_validator("input", "target", check_fields=False)
    @classmethod
    def _required(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("sources", True) == {}:  # without an entry there is an error in `sources`
            raise PydanticKnownError("missing")
        return value

    @model_validator(mode="after")
    def _sum_of_fixed(self) -> Trained:
        sizes = self.mixture.batch_sizes if self.mixture is not None and self.mixture.how == "fixed" else {}
        if sizes and self.batch_size is not None and self.batch_size != sum(sizes.values()):
            text = f"`batch_size` is {self.batch_size}, but the `batch_sizes` of the mixture add up to"
            raise ValueError(f"{text} {sum(sizes.values())}; leave `batch_size` out")
        return self

    @model_validator(mode="after")
    def _whole_batches(self) -> Trained:
        if self.sync_batchnorm and self.accumulate > 1:
            raise ValueError("`sync_batchnorm` needs the whole batch at once, and `accumulate` cuts it; leave one out")
        return self


class Train(LabelKeys, Trained):
    """One network, one loss."""

    kind: Literal["train"] = "train"
    target: Reference | None = Field(default=None, validate_default=True)
    model: Model
    loss: str
    metrics: tuple[str, ...] = ()


class Trunk(Spec):
    """The shared part of a joint network: the network of another task, a part of it, or a new model."""

    from_: OriginName | None = Field(default=None, alias="from")
    part: str | None = None
    model: Model | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Trunk:
        if (self.from_ is None) == (self.model is None):
            raise ValueError("a trunk has either `from: TASK` or `model: {...}`")
        if self.model is not None and self.part is not None:
            raise ValueError("`part` belongs to `from`; a trunk with its own `model` is the whole model")
        return self


class Head(HeadInputKeys, LabelKeys, HeadCourse):
    """One objective of a joint task: the network of another task, or a new model, on top of the trunk."""

    from_: OriginName | None = Field(default=None, alias="from")
    part: str | None = Field(default=None, description="the rest of the network that the trunk was cut from")
    model: Model | None = None
    target: Reference | None = None
    loss: str | None = None
    weight: float = Field(default=1.0, ge=0)
    metrics: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Head:
        if (self.from_ is None) == (self.model is None):
            raise ValueError("a head has either `from: TASK` or `model: {...}`")
        if self.model is not None and (self.part is not None or self.loss is None):
            more = "needs `target` and `loss`" if self.loss is None else "is the whole model; `part` belongs to `from`"
            raise ValueError(f"a head with its own `model` {more}")
        return self


class Joint(ArchitectureKeys, CoupledHeadsKeys, ModeKeys, Trained):
    """A shared trunk with several heads, trained together."""

    kind: Literal["joint"] = "joint"
    trunk: Trunk
    heads: Annotated[dict[Name, Head], Field(min_length=1)]
    weighting: WeightingKey | None = Field(
        default=None, description="how losses or gradients are combined, e.g. nash_mtl; default: their weighted sum"
    )

    def stopping(self) -> dict[str, EarlyStoppingKeys]:
        """See `TrainingCourse`."""
        heads = {name: head.early_stopping for name, head in self.heads.items() if head.early_stopping is not None}
        return {**super().stopping(), **heads}


class Applied(TaskBase):
    """The keys of tasks that run a trained network."""

    input: InputReferences | None = Field(
        default=None, description="default: the input that the network was trained on"
    )
    source: Name | None = Field(default=None, description="the one of the network's `sources` whose samples are read")
    batch_size: int | None = Field(default=None, gt=0, le=MOST, description="samples that a rank runs at once")
    device: DeviceName | None = Field(default=None, description="default: as under `defaults`")


class Extract(Applied):
    """Stores the output of one part of a network for every sample, as the array `values`."""

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


class Output(Spec):
    """An array that a callable returns, as far as it is known beforehand."""

    type: OutputType | None = Field(default=None, description="type of the values, e.g. float64, bool or text")
    shape: tuple[int, ...] | None = Field(default=None, description="shape of one sample; [] for one value a sample")


def _output(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else {} if value is None else value


def _outputs(value: Any) -> Any:
    """Turns a list of names, and types alone, into outputs by name."""
    if isinstance(value, list | tuple):
        return {name: {} for name in value}
    return {name: _output(each) for name, each in value.items()} if isinstance(value, dict) else value


DeclaredOutputs = Annotated[dict[Name, Output], BeforeValidator(_outputs)]


class MapReduce(TaskBase):
    """A value of all rows of an array: a function of each block of rows, and a reduction of its values."""

    kind: Literal["map_reduce"] = "map_reduce"
    input: Reference
    split: SplitName | None = Field(default=None, description="split whose rows are used; default: all rows")
    block: int = Field(default=4096, gt=0, le=MOST, description="rows that `map` gets at once")
    map: Callable_ = Field(description="(rows of a block, their numbers) -> value: package.module:attribute")
    reduce: Callable_ = Field(description="(value, value of later rows) -> value of both; associative")
    finish: Callable_ | None = Field(
        default=None, description="value -> outputs and metrics by name; default: the value is such a mapping"
    )
    outputs: DeclaredOutputs = Field(
        default={}, description="arrays of the result for other tasks: names, or name -> type"
    )


class Python(TaskBase):
    """A callable of the user's, given its group and its inputs."""

    kind: Literal["python"] = "python"
    callable: Callable_
    arguments: dict[str, Any] = {}
    outputs: DeclaredOutputs = Field(
        default={}, description="arrays that the callable returns for other tasks: names, or name -> type"
    )
