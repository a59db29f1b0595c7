"""Jobs and tasks that are made in code, with the messages of a job file for wrong keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from hpcmtl.errors import InputError
from hpcmtl.jobfile.explanations import explained
from hpcmtl.jobfile.load import locate
from hpcmtl.jobfile.schema import AnyTask, Job

if TYPE_CHECKING:
    from hpcmtl.jobfile.tasks import TaskBase

_TASK: TypeAdapter[TaskBase] = TypeAdapter(AnyTask)


class JobInCode(Job):
    """A family of dependent tasks that is made in code, with the keys of a job file.

    Raises:
        InputError: keys or values are wrong; all of them at once.
    """

    def __init__(self, **keys: Any) -> None:
        try:
            super().__init__(**keys)
        except ValidationError as error:
            raise InputError(locate(explained(keys, error), "job")) from None


def make_task(kind: str | None = None, **keys: Any) -> TaskBase:
    """Makes one task in code, with the keys of the job file; `from` is spelled so in a dict, as in the file.

    Raises:
        InputError: there is no such kind, or keys or values are wrong; all of them at once.
    """
    task = keys if kind is None else {"kind": kind, **keys}
    try:
        return _TASK.validate_python(task)
    except ValidationError as error:
        found = explained({"tasks": {"task": task}}, error, ("tasks", "task"))
        raise InputError(
            locate([(path[2:], text) for path, text in found], f"{kind} task" if kind else "task")
        ) from None
