"""The job of a run that may get more tasks: rank 0 examines them, and every rank adopts the extended job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.fingerprint import fingerprints_of, fingerprints_to_json, read_fingerprints
from hpcmtl.dispatch.coordinator.task_source import ExtendedJob
from hpcmtl.dispatch.protocol import ExtendJob
from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.read import to_yaml
from hpcmtl.jobfile.resolve import add_module_folders
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.pipeline.live.addition import KEYS, joined
from hpcmtl.pipeline.prepare import Prepared, plan, prepare
from hpcmtl.pipeline.run.preflight import preflight_subprocess
from hpcmtl.results.rundir.directory import write_json_atomically, write_text_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.layerplan.model.machine import Machine
    from hpcmtl.layerplan.model.speedup import Measurement
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.rundir.requests import Request


class ExtensibleJob:
    """The job as one rank knows it; a `JobExaminer` on rank 0.

    Attributes:
        prepared: the job as the sessions of this rank know it.
        accepted: the job as the coordinator knows it; the main thread may adopt it later.
        directory: run directory.
    """

    def __init__(
        self, prepared: Prepared, directory: RunDirectory, measured: Sequence[Measurement], machine: Machine
    ) -> None:
        """Starts with the job of the attempt.

        Args:
            prepared: the job.
            directory: run directory.
            measured: measured times of layers of earlier runs, for new plans.
            machine: the machine, for new plans.
        """
        self.prepared = self.accepted = prepared
        self.directory, self._speedups = directory, Speedups(measured, machine)

    def extend(self, extension: ExtendJob) -> None:
        """Adopts a job with more tasks; called by the main thread of every rank."""
        modules = tuple(dict.fromkeys([*self.prepared.modules, Path(extension.folder)]))
        job, files, arrays = extension.job, extension.files, extension.arrays
        self.prepared = replace(self.prepared, job=job, files=files, arrays=arrays, modules=modules)
        add_module_folders([extension.folder])

    def examine(self, request: Request) -> ExtendedJob:
        """See `JobExaminer`."""
        values = request.values
        if not all(isinstance(values.get(key), dict) for key in KEYS) or not {"file", "folder"} <= set(values):
            raise InputError([Problem("add", "the request has no `file`, `folder`, `tasks` and `data`")])
        prepared = prepare(joined(self.accepted.resolved(), values))
        layer_plan = plan(prepared, self._speedups)
        job_file = self.directory.requests / f"{request.id}.job.yaml"
        write_text_atomically(job_file, _yaml(prepared))
        try:
            preflight_subprocess(job_file, [str(values["folder"])], self._new_tasks(prepared))
        except InputError as error:  # the user knows the file of the tasks, not the whole job that was made of it
            places = [each.where.replace(str(job_file), str(values["file"])) for each in error.problems]
            problems = zip(places, error.problems, strict=True)
            raise InputError(Problem(place, each.message) for place, each in problems) from error
        folder = str(values["folder"])
        extension = ExtendJob(job=prepared.job, files=prepared.files, arrays=prepared.arrays, folder=folder)
        return ExtendedJob(plan=layer_plan, graph=prepared.graph, extension=extension)

    def _new_tasks(self, prepared: Prepared) -> list[str]:
        """Returns the tasks that a job has beyond the accepted one; one in the file may stand for several."""
        return [name for name in prepared.job.tasks if name not in self.accepted.job.tasks]

    def accept(self, extended: ExtendedJob) -> None:
        """See `JobExaminer`."""
        modules = tuple(map(Path, extended.extension.job.modules))
        self.accepted = Prepared(
            extended.extension.job, extended.extension.files, extended.extension.arrays, extended.graph, modules
        )
        known = read_fingerprints(self.directory.data_file)
        new = fingerprints_of(path for path in self.accepted.files.values() if path not in known)
        write_json_atomically(self.directory.data_file, fingerprints_to_json({**known, **new}))
        write_text_atomically(self.directory.job_file, _yaml(self.accepted))
        write_json_atomically(self.directory.plan_file, extended.plan.to_dict())


def _yaml(prepared: Prepared) -> str:
    return to_yaml(prepared.resolved())
