"""The session of the task kind in `outside_kind`: each rank sums its share, the first one publishes the rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.hdf5 import publish_arrays
from hpcmtl.data.shard import shard
from hpcmtl.exchange.transfer import gather_rows
from hpcmtl.training.artifacts.publish import publish_whole
from hpcmtl.training.session import LayerOutcome, artifact_file

if TYPE_CHECKING:
    from outside_kind import RowSums

    from hpcmtl.training.session import SessionContext


class RowSumsSession:
    """See `hpcmtl.training.session.Session`."""

    def __init__(self, context: SessionContext, task: RowSums) -> None:
        self._context, self._task = context, task

    def run_layer(self, layer: int) -> LayerOutcome:
        """See `Session`."""
        started = time.perf_counter()
        context, group = self._context, self._context.group
        source = context.source("input", self._task.input)
        with source.opened() as reader:
            mine = shard(np.arange(reader.samples), group.rank, group.size)
            rows = reader.read(int(mine[0]), int(mine[-1]) + 1)
        sums = gather_rows(group, (self._task.factor * rows.sum(axis=-1)).astype(np.float32))
        ranks = group.allgather(group.rank)

        def publish() -> None:
            assert sums is not None
            publish_arrays(artifact_file(context.directory, context.task), {"sums": sums}, source.split())
            publish_whole(context, {"sums": sums}, source.split())

        on_root(group, publish)
        seconds = time.perf_counter() - started
        return LayerOutcome(1, len(mine), seconds, seconds, metrics={"ranks": float(len(ranks))})

    def close(self) -> None:
        """See `Session`; nothing is held."""

    def rebinder(self) -> None:
        """See `Session`; there is one layer."""
