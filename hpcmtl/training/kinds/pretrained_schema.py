"""Keys of a task that takes the parameters of an earlier run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from hpcmtl.jobfile.fields import Name, PathText
from hpcmtl.jobfile.tasks import TaskBase


class Pretrained(TaskBase):
    """The parameters that a task of an earlier run has published, for tasks of this job."""

    kind: Literal["pretrained"] = "pretrained"
    run: PathText = Field(description="run directory of the earlier run, or its artifact artifacts/TASK.h5")
    task: Name | None = Field(default=None, description="task of that run; default: the name of this task")


_EARLIER = {"type": "object", "properties": {"run": {"type": "string"}, "task": {"type": "string"}}}
OriginName = Annotated[Name, WithJsonSchema({"anyOf": [{"type": "string"}, {**_EARLIER, "required": ["run"]}]})]
"""Name of the task that a trunk or a head comes from; a job file may have `{run: RUN, task: TASK}` in its place."""
