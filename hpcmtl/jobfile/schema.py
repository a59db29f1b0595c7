"""The job file as frozen values; field descriptions become the JSON Schema that editors use.

A model checks only its own values (types, ranges, unknown keys). `check.py` compares the parts of a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError, core_schema

from hpcmtl.errors import InputError, nearest
from hpcmtl.frameworks.registry import DEFAULT
from hpcmtl.jobfile.fields import (
    ByteSizeOrNone,
    CompressionName,
    DeviceName,
    EngineName,
    Every,
    FrameworkName,
    Name,
    PathText,
)
from hpcmtl.jobfile.kind_registry import is_kind, kind_names, load_kind
from hpcmtl.jobfile.sections import Checkpoints, Layers
from hpcmtl.jobfile.slurm import JobSlurm
from hpcmtl.jobfile.tasks import Optimizer, TaskBase
from hpcmtl.networks.bounds import LARGEST_SEED, MOST, MOST_RANKS
from hpcmtl.networks.spec import Spec

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

FORMAT_VERSION: Literal[1] = 1
BAD_KIND = "task_kind"
"""Type of the validation error for a task without a usable kind; its context has the message as `text`."""


class TaskByKind:
    """Validates a task by the schema of its kind, whichever package the kind comes from.

    The kind is looked up when a task is validated, so that only the kinds that a job uses are imported.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Returns the validator of pydantic; a task is serialised by its own class."""
        return core_schema.no_info_plain_validator_function(_validate_task)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Returns the JSON Schema of all kinds, with `kind` as the discriminator."""
        kinds: dict[Any, CoreSchema] = {name: load_kind(name).schema.__pydantic_core_schema__ for name in kind_names()}
        return handler(core_schema.tagged_union_schema(kinds, "kind"))


def _validate_task(value: Any) -> TaskBase:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if kind is None:
        raise _bad_kind(f"`kind` is missing; one of {', '.join(kind_names())}")
    if not isinstance(kind, str) or not is_kind(kind):
        raise _bad_kind(f"unknown task kind {kind!r}{nearest(str(kind), kind_names())}")
    try:
        schema: type[TaskBase] = load_kind(kind).schema
    except InputError as error:
        raise _bad_kind(error.in_one_line) from error
    return schema.model_validate(value)


def _bad_kind(text: str) -> PydanticCustomError:
    return PydanticCustomError(BAD_KIND, "{text}", {"text": text})


AnyTask = Annotated[TaskBase, TaskByKind()]


def _in_a_file(value: str | None) -> str | None:
    """Refuses a value: the reader of job files has put the other file in its place."""
    if value is not None:
        raise ValueError("only a job file extends another one; a job made in code is composed in code")
    return value


OfFileAlone = Annotated[PathText | None, AfterValidator(_in_a_file)]


class Defaults(Spec):
    """Values for the keys that a task leaves open."""

    batch_size: int = Field(default=64, gt=0, le=MOST)
    optimizer: Optimizer = Optimizer(name="adam", learning_rate=0.001)
    framework: FrameworkName = DEFAULT
    device: DeviceName = Field(default="auto", description="auto: a GPU where all ranks of the group can use one")
    engine: EngineName | None = Field(default=None, description="default: the first engine of the task's framework")
    compression: CompressionName = "none"


class Merge(Spec):
    """Tasks that average the parameters that they share, again and again while they run at the same time."""

    tasks: tuple[Name, ...] = Field(min_length=2)
    parameters: str = Field(default="*", description="pattern of the names of the shared parameters")
    every: Every = Field(default="layer", description="steps between rounds, or `layer`: one a layer")
    how: Literal["mean", "samples", "statistics"] = Field(
        default="mean", description="weights: equal, by samples seen since the last round, or by squared gradients"
    )


Track = Literal["tensorboard", "openmetrics", "trace"]
"""What a run writes beside its own files."""


class Job(Spec):
    """A family of dependent tasks."""

    hpcmtl: Literal[1] = FORMAT_VERSION
    extends: OfFileAlone = Field(
        default=None, description="a job file whose values hold where this one has none; a path relative to this file"
    )
    job: Name
    ranks: int = Field(default=1, ge=1, le=MOST_RANKS)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    data: dict[Name, PathText] = Field(default={}, description="name -> HDF5 file, relative to the job file")
    defaults: Defaults = Defaults()
    layers: Layers = Layers()
    policy: str = Field(default="variable", description="planning policy")
    merge: dict[Name, Merge] = Field(default={}, description="parameters that tasks share while they run")
    artifact_memory: ByteSizeOrNone = Field(
        default=256 * 2**20,
        description="artifacts that a rank keeps in memory for tasks that need them; 0: files alone",
    )
    data_memory: ByteSizeOrNone = Field(
        default=256 * 2**20,
        description="samples of a task that a rank keeps in memory; ranks of a node keep theirs together; 0: none",
    )
    stage: Literal["scratch"] | None = Field(
        default=None, description="`scratch`: each node copies the data files to its folder for temporary files"
    )
    track: tuple[Track, ...] = Field(
        default=(),
        description="`tensorboard`: event files of the curves; `openmetrics`: the newest values for monitoring; "
        "`trace`: the course of the run as a Chrome trace, at its end",
    )
    slurm: JobSlurm | None = Field(
        default=None, description="what `hpcmtl submit` asks for; no part of what is trained"
    )
    sweep: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default={}, description="key with dots -> values; `hpcmtl submit --array` makes a run of each combination"
    )
    report: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto and always: each attempt ends with `report.html` in the run directory"
    )
    checkpoints: Checkpoints = Checkpoints()
    modules: tuple[PathText, ...] = Field(default=(".",), description="folders of users' Python modules, as `data`")
    tasks: dict[Name, AnyTask] = Field(min_length=1)
