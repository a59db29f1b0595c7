"""The session of pretrained tasks: copies the parameters of an earlier run to this one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.exchange.store import PARAMETERS, read_sealed, seal
from hpcmtl.training.artifacts.earlier import earlier_artifact
from hpcmtl.training.session import LayerOutcome, artifact_file

if TYPE_CHECKING:
    from hpcmtl.training.kinds.pretrained_schema import Pretrained
    from hpcmtl.training.session import SessionContext


class PretrainedSession:
    """Copies an artifact, so that the run no longer depends on the earlier one; see `Session`."""

    def __init__(self, context: SessionContext, task: Pretrained) -> None:
        self._context, self._task = context, task

    def run_layer(self, layer: int) -> LayerOutcome:  # noqa: ARG002 - there is one
        """See `Session`."""
        started = time.perf_counter()
        on_root(self._context.group, self._copy)
        seconds = time.perf_counter() - started
        return LayerOutcome(1, 0, seconds, seconds)

    def close(self) -> None:
        """See `Session`; there is nothing to release."""

    def rebinder(self) -> None:
        """See `Session`; the task has only one layer."""

    def _copy(self) -> None:
        """Reads the file, whose checksums are compared, and seals the parameters as those of this task."""
        context, task = self._context, self._task
        arrays, facts = read_sealed(earlier_artifact(task.run, task.task or context.task), PARAMETERS)
        seal(artifact_file(context.directory, context.task), arrays, {**facts, "task": context.task})
