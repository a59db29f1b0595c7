"""One task of a run: its state, curves, logs, artifact, and requests to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.client.curves import TaskCurves
from hpcmtl.client.outcome import TaskOutcome
from hpcmtl.client.predictions import rows_by_split
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.client.access import RunAccess
    from hpcmtl.results.logs.lines import LogLine
    from hpcmtl.results.outcome.summary import JobResult, TaskResult
    from hpcmtl.training.artifacts.load import LoadedArtifact

REPLY_SECONDS = 15.0
"""Seconds in which a running job is expected to reply to a request, as for the commands."""


class TaskHandle(TaskOutcome):
    """One task of a run; all values are read when they are asked for.

    Args:
        name: name of the task.
        access: way to the run.
        final: result of a run that has ended; None to read the newest.
    """

    def __init__(self, name: str, access: RunAccess, final: JobResult | None = None) -> None:
        self.name = name
        self._access, self._final = access, final

    def __repr__(self) -> str:
        return f"<{self.kind} task {self.name} of {self._access.place}: {self.status}>"

    @property
    def result(self) -> TaskResult:
        """The result so far; its status is ``stopped`` while the task has not ended."""
        return (self._final or self._access.result())[self.name]

    @property
    def status(self) -> str:
        """``waiting``, ``running``, ``held`` (between two layers), or the status with which the task ended."""
        if self._final is not None:
            return self._final[self.name].status
        return str(self._access.diagnosis()["tasks"][self.name]["status"])

    @property
    def history(self) -> TaskCurves:
        """The curves so far: losses, learning rate and more by step, metrics of the validation by epoch."""
        return TaskCurves(self._access.points(self.name))

    @property
    def artifact_file(self) -> Path:
        """File of the artifact, which is there once the task is complete, if its kind publishes one."""
        return self._access.artifact_file(self.name)

    @property
    def artifact(self) -> LoadedArtifact:
        """The artifact, see `hpcmtl.load`: its arrays, its description, its network.

        Raises:
            InputError: the task has published none, or the file is damaged.
        """
        from hpcmtl.training.artifacts.load import load

        file = self.artifact_file
        if not file.is_file():
            text = f"the task has no artifact: its kind is {self.kind}, and it is {self.status}"
            raise InputError([Problem(f"{self._access.place}: {self.name}", text)])
        return load(file)

    def predictions(self) -> Mapping[str, Arrays]:
        """Returns the outputs that the task has written, of a `predict` or `extract` task.

        Returns:
            Name of the split (``train``, ``val``, ``test``) -> name of the output -> (samples of the split, ...), in
            the order of the samples in the data file. Splits without samples are left out.

        Raises:
            InputError: the task publishes no arrays of samples, or has not yet.
        """
        artifact = self.artifact
        if artifact.description is not None and artifact.description.content != "data":
            text = f"a {self.kind} task publishes parameters; predictions are those of a predict task"
            raise InputError([Problem(f"{self._access.place}: {self.name}", text)])
        return rows_by_split(artifact.arrays)

    def network(self) -> Any:
        """Returns the trained network as its framework has it, on the CPU and ready for inference.

        That is a module or block of its own framework, which this call imports. `outputs` runs it on
        samples as the data file has them.

        Raises:
            InputError: the task has no network, or it cannot be built here.
            EnvironmentUnfitError: its framework cannot be imported.
        """
        return self.artifact.network.network.unwrapped()

    def outputs(self, samples: NDArray[Any] | Mapping[str, NDArray[Any]], part: str | None = None) -> Arrays:
        """Runs the trained network on samples, with their scale and transforms; see `LoadedNetwork.outputs`.

        Args:
            samples: (n, *shape of a sample), or such arrays by the names of inputs.
            part: part of the network whose output is wanted; the whole network by default.

        Returns:
            Name of the objective -> (n, ...).
        """
        return self.artifact.network.outputs(samples, part)

    def logs(self, rank: int | None = None) -> list[LogLine]:
        """Returns the lines of all ranks, or of one, that concern the task."""
        return list(self._access.log_lines(rank, self.name))

    def pause(self, timeout: float = REPLY_SECONDS) -> str:
        """Stops the task with a checkpoint until `unpause`; returns the reply of the job.

        Args:
            timeout: seconds to wait for the reply; 0 does not wait.

        Raises:
            InputError: the request is refused.
            EnvironmentUnfitError: the run has ended, or does not reply.
        """
        return self._access.change("pause", self.name, {}, timeout)

    def unpause(self, timeout: float = REPLY_SECONDS) -> str:
        """Continues the paused task; see `pause`."""
        return self._access.change("unpause", self.name, {}, timeout)

    def set(
        self, *, learning_rate: float | None = None, priority: int | None = None, timeout: float = REPLY_SECONDS
    ) -> str:
        """Changes the learning rate, the priority or both; see `pause`."""
        given = {"learning_rate": learning_rate, "priority": priority}
        values = {key: value for key, value in given.items() if value is not None}
        if not values:
            raise InputError([Problem(f"set {self.name}", "found no value; give learning_rate=, priority= or both")])
        return self._access.change("set", self.name, values, timeout)

    def cancel(self, timeout: float = REPLY_SECONDS) -> str:
        """Ends the task; tasks that need it are skipped. See `pause`."""
        return self._access.change("cancel", self.name, {}, timeout)
