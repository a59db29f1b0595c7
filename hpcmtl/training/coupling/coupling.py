"""Exchanges parameters of a training task with tasks that run at the same time, at its own step boundaries.

The task pushes versions of its parameters, pulls versions of other tasks, and averages. Only the group's first rank is
a client of the parameter server. The group gets the result at the same step: all ranks have the same version.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import TaskFailedError
from hpcmtl.exchange.parameter_server import Pull, PushForAverage, VersionChannel
from hpcmtl.exchange.store import PARAMETERS, artifact_of, read_sealed
from hpcmtl.exchange.transfer import share
from hpcmtl.jobfile.coupling import live_consumers, live_needs, merge_of
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.coupling.merging import contribution
from hpcmtl.training.session import artifact_file
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.session import SessionContext
    from hpcmtl.training.task_steps import Steps, SyncPoint

FINAL = 1 << 62
"""The version of a task that has completed: its sealed artifact."""

PRECISION = "coupling/precision/"
"""Prefix of the running means of squared gradients in a checkpoint."""

# Weight of the earlier rounds of merging in a running mean of squared gradients.
KEPT = 0.9


class Coupling(SessionPart):
    """Exchanges one task's parameters, on one rank of its group; all methods are collective over the group.

    Attributes:
        steps: steps of the task.
        taken: producer -> version that this task trains with; a checkpoint must contain it.
    """

    def __init__(self, context: SessionContext, steps: Steps) -> None:
        """Collects the edges and the merge of the task.

        Args:
            context: context of the session, with a parameter client.
            steps: steps of the task.
        """
        assert context.parameter_client is not None
        self._context, self._parameter_client, self.steps = context, context.parameter_client, steps
        self._needs = live_needs(context.job, context.task)
        mappings = kind_of(context.job, context.task).parameter_mappings(context.job, context.task)
        self._mappings = {each.producer: each for each in mappings if each.producer in self._needs}
        self._channels = _channels(context)
        self._merge = merge_of(context.job, context.task)
        self._precision: Arrays = {}
        self._counts = {"versions_published": 0.0, "versions_taken": 0.0, "merges": 0.0, "seconds_coupled": 0.0}
        self.taken: dict[str, int] = {}

    def is_beside(self, producer: str) -> bool:
        """Returns true if the parameters of a producer come as versions while it runs."""
        return producer in self._needs

    def first_parameters(self, producer: str) -> Arrays | None:
        """Returns the first parameters of a new task; None if the producer has paused before its first version."""
        arrays, version, _ = self._newest(producer, known=-1, least=0)
        if version < 0:
            return None
        self.taken[producer] = version
        return arrays

    def begin(self, learner: Learner, at: SyncPoint) -> bool:
        """Publishes and takes the versions that are due before a layer's first step here; see `sync_point`."""
        self._publish(learner, at, also_between=True)
        return at.step > 0 and self._take(learner, at)  # a new task has just taken its first version

    def sync_point(self, learner: Learner, at: SyncPoint) -> bool:
        """Merges, publishes and takes what is due; returns true if the task must release its ranks and wait.

        Raises:
            TaskFailedError: the parameters are not finite, or do not match those of the other members.
        """
        started = time.perf_counter()
        if self._merge is not None and at.clock(self._merge[1].every) is not None:
            self._meet(learner, at.step)
        self._publish(learner, at)
        wait = not at.last and self._take(learner, at)
        self._counts["seconds_coupled"] += time.perf_counter() - started
        return wait

    def exchange(self, learner: Learner, layer: int) -> Callable[[int], bool]:
        """Returns `sync_point` as a function of the number of steps done, in a layer."""
        return lambda step: self.sync_point(learner, self.steps.at(layer, step))

    def state(self) -> Arrays:
        """Returns what a later session needs beside `taken`, by names of its own."""
        return {PRECISION + name: array for name, array in self._precision.items()}

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        return {"versions": dict(self.taken)}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`."""
        self.taken = dict(found.facts.get("versions", {}))
        self._load_precision(found.state)

    def _load_precision(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        self._precision = {n.removeprefix(PRECISION): a for n, a in state.items() if n.startswith(PRECISION)}

    def counts(self) -> Mapping[str, float]:
        """Returns the counts of exchanges since the last call, for the ledger."""
        facts, self._counts = self._counts, dict.fromkeys(self._counts, 0.0)
        return facts

    def _publish(self, learner: Learner, at: SyncPoint, *, also_between: bool = False) -> None:
        if self._context.group.rank != 0:
            return
        for channel, mappings in self._channels.items():
            version = at.clock(channel.every)
            if version is None and also_between:
                version = at.layer if channel.every == "layer" else at.step // channel.every
            if version is not None:
                named = learner.parameters_matching("*")
                wanted = {n: a for n, a in named.items() if any(each.target(n) is not None for each in mappings)}
                parameters = {PARAMETERS + name: array for name, array in wanted.items()}
                self._counts["versions_published"] += self._parameter_client.push_version(channel, version, parameters)

    def _take(self, learner: Learner, at: SyncPoint) -> bool:
        wait = False
        for producer, need in self._needs.items():
            clock, known = at.clock(need.every), self.taken.get(producer, -1)
            if clock is None or known == FINAL:
                continue
            least = max(clock - need.staleness, 0)
            arrays, version, goes_on = self._newest(producer, known, least)
            if arrays:
                learner.refresh_frozen(arrays, self._mappings[producer])
                self._counts["versions_taken"] += 1
            self.taken[producer] = max(version, known)
            wait = wait or not goes_on
        return wait

    def _newest(self, producer: str, known: int, least: int) -> tuple[Arrays, int, bool]:
        """Returns parameters if they are newer than known, their version, and true if the task may continue with them.

        Raises:
            DamagedArtifactError: the producer has completed, and its artifact cannot be read; on all ranks.
        """

        def read() -> tuple[Arrays, tuple[int, bool]]:
            newest, packed = self._parameter_client.pull(Pull(self._channel(producer), known, least))
            if newest.state == "complete":
                with artifact_of(producer, artifact_file(self._context.directory, producer)) as path:
                    return read_sealed(path, PARAMETERS)[0], (FINAL, True)
            goes_on = newest.state in {"running", "paused"} and newest.version >= least
            return ({} if packed is None else packed.arrays()), (newest.version, goes_on)

        arrays, (version, goes_on) = share(self._context.group, read)
        return arrays, version, goes_on

    def _channel(self, producer: str) -> VersionChannel:
        return VersionChannel(producer, self._needs[producer].every)

    def _meet(self, learner: Learner, step: int) -> None:
        """Takes part in one round of merging."""
        assert self._merge is not None
        name, merge = self._merge
        task, group = self._context.task, self._context.group
        seen = self.steps.samples_since_tick(merge.every, step)

        def read() -> tuple[Arrays, str]:
            values = learner.parameters_matching(merge.parameters)
            if not all(np.isfinite(array).all() for array in values.values()):
                text = "a parameter is not finite: nothing is merged. A smaller learning rate or a warm-up may help"
                raise TaskFailedError(f"task {task}, step {step}: {text}")
            precision = self._squares(learner, merge.parameters) if merge.how == "statistics" else None
            weight = float(seen) if merge.how == "samples" else 1.0
            merged, packed = self._parameter_client.push_for_average(
                PushForAverage(name, task), contribution(values, weight, precision)
            )
            # All ranks keep the statistics: any of them may be the first of a later group.
            return {**({} if packed is None else packed.arrays()), **self.state()}, merged.problem

        shared, problem = share(group, read)
        self._load_precision(shared)
        arrays = {name: array for name, array in shared.items() if not name.startswith(PRECISION)}
        if problem:
            raise TaskFailedError(f"task {task}, step {step}, merge {name}: {problem}")
        if arrays:
            learner.set_parameters(arrays)
            self._counts["merges"] += 1

    def _squares(self, learner: Learner, pattern: str) -> Arrays:
        """Returns a running mean of squared gradients, sampled once a round: the diagonal of the Fisher information.

        The gradients are those of whole batches, not of samples. The comparison between members is thus right up to a
        common factor, if their batches are of the same size.
        """
        for name, gradient in learner.applied_gradients(pattern).items():
            square = np.square(gradient, dtype=np.float64)
            before = self._precision.get(name, square)
            self._precision[name] = KEPT * before + (1 - KEPT) * square
        return dict(self._precision)


def _channels(context: SessionContext) -> dict[VersionChannel, list[ParameterMapping]]:
    """Returns the channels on which a task publishes versions, with the mappings of their consumers."""
    channels: dict[VersionChannel, list[ParameterMapping]] = {}
    for consumer, need in live_consumers(context.job, context.task).items():
        mappings = kind_of(context.job, consumer).parameter_mappings(context.job, consumer)
        taken = [each for each in mappings if each.producer == context.task]
        channels.setdefault(VersionChannel(context.task, need.every), []).extend(taken)
    return channels


def open_coupling(context: SessionContext, steps: Steps) -> Coupling | None:
    """Returns the coupling of a task that exchanges parameters while it runs; None for other tasks."""
    job, name = context.job, context.task
    coupled = live_needs(job, name) or live_consumers(job, name) or merge_of(job, name)
    return Coupling(context, steps) if coupled and context.parameter_client is not None else None
