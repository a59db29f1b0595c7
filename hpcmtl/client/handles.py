"""The tasks of a run, found by name or by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from hpcmtl.client.task import TaskHandle
from hpcmtl.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable


class TaskHandles(Sequence[TaskHandle]):
    """The tasks of a run in the order of the job: ``tasks["digit"]`` or ``tasks[0]``.

    Args:
        tasks: the tasks.
    """

    def __init__(self, tasks: Iterable[TaskHandle]) -> None:
        self._tasks = tuple(tasks)

    @overload
    def __getitem__(self, at: int | str) -> TaskHandle: ...
    @overload
    def __getitem__(self, at: slice) -> TaskHandles: ...
    def __getitem__(self, at: int | str | slice) -> TaskHandle | TaskHandles:
        """Returns one task by name or number, or consecutive ones.

        Raises:
            KeyError: the run has no task of that name.
            IndexError: it has fewer tasks.
        """
        if isinstance(at, slice):
            return TaskHandles(self._tasks[at])
        if isinstance(at, int):
            return self._tasks[at]
        for each in self._tasks:
            if each.name == at:
                return each
        raise KeyError(f"there is no task {at!r}{nearest(str(at), self.names)}")

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task: object) -> bool:
        return task in self.names or task in self._tasks

    def __repr__(self) -> str:
        return f"<tasks {', '.join(self.names)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(each.name for each in self._tasks)
