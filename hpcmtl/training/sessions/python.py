"""The session of python tasks: calls a function of the user's with its group and its inputs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.contract import SPLIT
from hpcmtl.data.hdf5 import read_split
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.exchange.store import PARAMETERS, artifact_of
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.training.artifacts.inputs import Inputs
from hpcmtl.training.data_guard import require_unchanged_file
from hpcmtl.training.session import LayerOutcome, artifact_file
from hpcmtl.training.sessions.returned import publish_returned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.kinds.schemas import Python
    from hpcmtl.training.session import SessionContext


@dataclass(frozen=True)
class PythonContext:
    """The argument of the callable, on every rank of the task's group.

    Attributes:
        task: name of the task.
        arguments: values under `arguments` in the job file.
        group: communicator of the ranks that run the task.
        seed: seed that depends on the job's seed and the task alone.
        framework: name of the framework under `defaults`, for code that serves several.
        read: (reference) -> whole array as it is stored, e.g. ``digits/images`` or ``features/values``; with a
            ``scale``, multiplied by it as float32.
        parameters: (task) -> parameters of a train or joint task under `needs`, by name.
        stop_requested: returns true if the job must stop soon.
    """

    task: str
    arguments: Mapping[str, Any]
    group: Communicator
    seed: int
    framework: str
    read: Callable[[str], np.ndarray[Any, Any]]
    parameters: Callable[[str], Arrays]
    stop_requested: Callable[[], bool]


class PythonSession:
    """Calls the callable once; see `Session`.

    The result of the group's first rank is used: a mapping whose numbers become metrics, and whose arrays, one for each
    of `outputs`, are published. An array ``split`` (0 train, 1 val, 2 test) assigns the samples to splits.
    """

    def __init__(self, context: SessionContext, task: Python) -> None:
        self._context, self._task = context, task
        self._function = resolve(task.callable)
        self._inputs = Inputs(context)

    def run_layer(self, layer: int) -> LayerOutcome:
        """See `Session`."""
        started = time.perf_counter()
        context, task = self._context, self._task
        given = PythonContext(
            task=context.task,
            arguments=task.arguments,
            group=context.group,
            seed=context.seed("python", layer),
            framework=context.job.defaults.framework,
            read=self._read,
            parameters=self._parameters,
            stop_requested=context.stop_requested,
        )
        result = self._function(given)
        metrics = on_root(context.group, lambda: publish_returned(context, task.callable, result, task.outputs))
        seconds = time.perf_counter() - started
        return LayerOutcome(1, 0, seconds, seconds, metrics=metrics, facts=self._inputs.facts())

    def close(self) -> None:
        """See `Session`; there is nothing to release."""

    def rebinder(self) -> None:
        """See `Session`; the task has only one layer."""

    def _read(self, reference: str) -> np.ndarray[Any, Any]:
        origin, _, array_name = reference.partition("/")
        if origin not in self._context.files:
            self._require_need(origin, "data")
        self._require_array(origin, array_name)
        own = origin in self._context.files
        if array_name == SPLIT and not own:  # beside the arrays in the file, and not one of them
            with artifact_of(origin, artifact_file(self._context.directory, origin)) as path:
                return read_split(path).copy()
        source = self._context.source("", reference) if own else self._inputs.source_alone(reference)
        with source.opened() as reader:
            array = reader.exact()
        if own:
            require_unchanged_file(self._context, source.path, {source.dataset})
        return array

    def _require_need(self, name: str, kind: str) -> None:
        """Refuses what the task does not need: its producer may still be at work."""
        context, needs = self._context, self._task.needs
        if name in needs:
            return
        if name in context.job.tasks:
            remedy = f"; write `needs: {{{name}: {kind}}}`"
        else:
            remedy = nearest(name, [*needs, *(context.files if kind == "data" else ())])
        text = f"{name!r} is not among its inputs{remedy}"
        raise InputError([Problem(f"task {context.task}: {self._task.callable}", text)])

    def _require_array(self, origin: str, array: str) -> None:
        """Refuses an array that its task does not publish, and a reference without an array."""
        job, where = self._context.job, f"task {self._context.task}: {self._task.callable}"
        if origin in self._context.files:
            if not array:
                text = f"read({origin!r}): write source/dataset, with the name of an array in the file"
                raise InputError([Problem(where, text)])
            return
        published = kind_of(job, origin).published_arrays(job, origin, {})
        if array in published or (published and array == SPLIT):
            return
        text = f"read({f'{origin}/{array}' if array else origin!r}): task {origin} publishes no array"
        if published:
            text += f" {array!r}{nearest(array, published)}"
        else:
            text += f"s; parameters({origin!r}) gives what a train or joint task trained"
        raise InputError([Problem(where, text)])

    def _parameters(self, name: str) -> Arrays:
        self._require_need(name, "parameters")
        arrays = self._inputs.parameters_alone(name)
        return {key.removeprefix(PARAMETERS): array for key, array in arrays.items()}
