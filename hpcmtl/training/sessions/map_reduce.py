"""The session of map-reduce tasks: each rank maps its blocks of rows, and the first one publishes the result."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from hpcmtl import faults
from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.hdf5 import numbers_in
from hpcmtl.data.sources import check_sources, selected
from hpcmtl.errors import TaskFailedError
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.jobfile.tasks import SPLITS
from hpcmtl.results.events import TaskNoted
from hpcmtl.results.step_progress import StepProgress
from hpcmtl.training.artifacts.inputs import Inputs
from hpcmtl.training.code_state import CodeState
from hpcmtl.training.data_guard import require_unchanged_data
from hpcmtl.training.map_reduce import blocks_of_rank, map_reduce
from hpcmtl.training.session import LayerOutcome
from hpcmtl.training.sessions.returned import publish_returned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.reader import ArrayReader
    from hpcmtl.training.kinds.schemas import MapReduce
    from hpcmtl.training.session import SessionContext

_log = logging.getLogger(__name__)

INPUT = "input"


class MapReduceSession:
    """Maps and reduces once, in one layer; see `Session`."""

    def __init__(self, context: SessionContext, task: MapReduce) -> None:
        self._context, self._task = context, task
        self._splits = SPLITS if task.split is None else (task.split,)
        self._map, self._reduce = resolve(task.map), resolve(task.reduce)
        self._finish = None if task.finish is None else resolve(task.finish)
        self._inputs = Inputs(context)

    def run_layer(self, layer: int) -> LayerOutcome:
        """See `Session`."""
        started = time.perf_counter()
        context, task = self._context, self._task
        require_unchanged_data(context)
        source = self._inputs.sources({INPUT: task.input}, self._rows_wanted)[INPUT]
        check_sources([source])
        numbers = selected([source], self._splits)
        mine = [block for _, block in blocks_of_rank(numbers, task.block, context.group)]
        done = _Progress(context, layer, len(mine))

        def mapped(rows: NDArray[Any], of_rows: Ints) -> Any:
            value = self._map(rows, of_rows)
            done.report(len(rows))
            return value

        with source.opened() as reader:
            try:
                rows = _ExactRows(reader)
                remembered = CodeState([[self._map, self._reduce]])
                value = map_reduce(rows, mapped, self._reduce, context.group, numbers=numbers, block=task.block)
            except TaskFailedError as error:
                raise TaskFailedError(f"task {context.task}: {task.input}: {error}") from error
        require_unchanged_data(context)
        self._note(remembered.changed())
        metrics = on_root(context.group, lambda: self._publish(value))
        seconds = time.perf_counter() - started
        return LayerOutcome(1, sum(map(len, mine)), seconds, seconds, metrics=metrics, facts=self._inputs.facts())

    def close(self) -> None:
        """See `Session`; there is nothing to release."""

    def rebinder(self) -> None:
        """See `Session`; the task has only one layer."""

    def _rows_wanted(self, split: NDArray[Any]) -> list[tuple[int, int]]:
        """Returns the span of the rows that this rank reads."""
        numbers = numbers_in(split, self._splits)
        mine = blocks_of_rank(numbers, self._task.block, self._context.group) if len(numbers) else []
        return [(int(mine[0][1][0]), int(mine[-1][1][-1]) + 1)] if mine else []

    def _note(self, remembered: list[str]) -> None:
        """Records what the functions remember from block to block: each rank has only its own blocks."""
        if remembered and self._context.group.rank == 0:
            text = f"`map` or `reduce` changes {', '.join(remembered)}, and each rank calls them for its own blocks"
            text += ": if values depend on it, they depend on the number of ranks; keep such things in the values"
            self._context.record(TaskNoted(task=self._context.task, text=text))

    def _publish(self, value: Any) -> dict[str, float]:
        context, task = self._context, self._task
        if self._finish is None:
            return publish_returned(context, task.reduce, value, task.outputs)
        try:
            result = self._finish(value)
        except (Exception, SystemExit) as error:
            _log.exception("finish failed")
            raise TaskFailedError(f"task {context.task}: finish failed ({type(error).__name__}: {error})") from error
        return publish_returned(context, str(task.finish), result, task.outputs)


class _ExactRows:
    """Rows of an open dataset in the type in which they are stored; those with a ``scale`` multiplied by it."""

    def __init__(self, reader: ArrayReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return self._reader.samples

    def __getitem__(self, span: slice, /) -> NDArray[Any]:
        return self._reader.exact(span.start, span.stop)


class _Progress:
    """Counts the blocks of this rank; the group's first rank reports them."""

    def __init__(self, context: SessionContext, layer: int, blocks: int) -> None:
        self._context, self._layer, self._blocks = context, layer, blocks
        self._started = time.perf_counter()
        self._done = self._rows = 0

    def report(self, rows: int) -> None:
        """Adds a block of some rows."""
        context = self._context
        faults.step_point(context.task, self._layer, self._done)
        self._done, self._rows = self._done + 1, self._rows + rows
        if context.group.rank == 0:
            speed = self._rows * context.group.size / max(time.perf_counter() - self._started, 1e-9)
            context.report(StepProgress(context.task, self._layer, 0, None, speed, self._done / self._blocks))
