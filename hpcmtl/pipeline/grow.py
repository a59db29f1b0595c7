"""A running job that gets more tasks: rank 0 examines them, and every rank takes the job up."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hpcmtl.dispatch.commands import TakeUp
from hpcmtl.dispatch.steering import Grown
from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.speedup import Speedups
from hpcmtl.pipeline.addition import KEYS, joined
from hpcmtl.pipeline.examine import examine_aside
from hpcmtl.pipeline.prepare import Prepared, plan, prepare
from hpcmtl.results.rundir import write_json_atomically, write_text_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.layerplan.machine import Machine
    from hpcmtl.layerplan.speedup import Measurement
    from hpcmtl.results.requests import Request
    from hpcmtl.results.rundir import RunDirectory


class GrowingJob:
    """What is known of the job on one rank, as it grows; on rank 0 these are the dispatcher's `Additions`."""

    def __init__(
        self, prepared: Prepared, directory: RunDirectory, measured: Sequence[Measurement], machine: Machine
    ) -> None:
        """Begin.

        Args:
            prepared: the job of the start.
            directory: the run directory.
            measured: layers of earlier runs, for the plans.
            machine: where it runs.
        """
        self.prepared = prepared  # as the sessions of this rank know it
        self.accepted = prepared  # as the dispatcher knows it; the main thread may take it up later
        self.directory, self._speedups = directory, Speedups(measured, machine)

    def take_up(self, news: TakeUp) -> None:
        """Go on with more tasks; for the main thread of every rank."""
        self.prepared = replace(self.prepared, job=news.job, files=news.files, arrays=news.arrays)
        if news.folder not in sys.path:
            sys.path.append(news.folder)

    def examine(self, request: Request) -> Grown:
        """See `Additions`."""
        values = request.values
        if not all(isinstance(values.get(key), dict) for key in KEYS) or not {"file", "folder"} <= set(values):
            raise InputError([Problem("add", "the request has no `file`, `folder`, `tasks` and `data`")])
        prepared = prepare(joined(self.accepted.resolved(), values))
        layer_plan = plan(prepared, self._speedups)
        job_file = self.directory.requests / f"{request.id}.job.yaml"
        write_text_atomically(job_file, _yaml(prepared))
        examine_aside(job_file, [str(values["folder"])], list(values["tasks"]))
        news = TakeUp(prepared.job, prepared.files, prepared.arrays, str(values["folder"]))
        return Grown(layer_plan, prepared.graph, news)

    def accept(self, grown: Grown) -> None:
        """See `Additions`."""
        modules = tuple(map(Path, grown.news.job.modules))
        self.accepted = Prepared(grown.news.job, grown.news.files, grown.news.arrays, grown.graph, modules)
        write_text_atomically(self.directory.job_file, _yaml(self.accepted))
        write_json_atomically(self.directory.plan_file, grown.plan.to_dict())


def _yaml(prepared: Prepared) -> str:
    return yaml.safe_dump(prepared.resolved(), sort_keys=False)
