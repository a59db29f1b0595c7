"""Exchanges parameters of a training task with tasks that run at the same time, at its own step boundaries.

The task pushes versions of its parameters, pulls versions of other tasks, and averages. Only the group's first rank is
a client of the parameter server. The group gets the result at the same step: all ranks have the same version.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpcmtl.errors import TaskFailedError
from hpcmtl.exchange.parameter_server import Pull, PushForAverage, VersionChannel
from hpcmtl.exchange.store import PARAMETERS, artifact_of, read_sealed
from hpcmtl.exchange.transfer import share
from hpcmtl.jobfile.coupling import live_consumers, live_needs, merge_of
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.coupling.merging import contribution
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.fields import Every
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.session import SessionContext

FINAL = 1 << 62
"""The version of a task that has completed: its sealed artifact."""

# Part of the old that a running mean of squared gradients keeps at each round of merging.
KEPT = 0.9


class SyncPoint(NamedTuple):
    """Where a task stands between two steps.

    Attributes:
        step: steps done.
        layer: layers done.
        between_layers: whether a layer ends or begins here.
        last: whether there are no more steps.
    """

    step: int
    layer: int
    between_layers: bool
    last: bool

    def clock(self, every: Every) -> int | None:
        """What a clock of this pace shows if it ticks here, else None."""
        if every == "layer":
            return self.layer if self.between_layers else None
        return None if self.step % every else self.step // every


class Coupling:
    """One task's part, on one rank of its group; all methods are collective over the group.

    Attributes:
        taken: producer -> version that this task trains with; belongs into its checkpoints.
    """

    def __init__(self, context: SessionContext, samples_before: Callable[[int], int]) -> None:
        """Find out what there is to exchange.

        Args:
            context: context of the session, with a parameter client.
            samples_before: (step) -> samples that the group has seen before it.
        """
        assert context.parameter_client is not None
        self._context, self._parameter_client, self._samples_before = context, context.parameter_client, samples_before
        self._needs = live_needs(context.job, context.task)
        mappings = kind_of(context.job, context.task).parameter_mappings(context.job, context.task)
        self._mappings = {each.producer: each for each in mappings if each.producer in self._needs}
        self._channels = _channels(context)
        self._merge = merge_of(context.job, context.task)
        self._merged_at = 0
        self._precision: Arrays = {}
        self._counts = {"versions_published": 0.0, "versions_taken": 0.0, "merges": 0.0, "seconds_coupled": 0.0}
        self.taken: dict[str, int] = {}

    def is_beside(self, producer: str) -> bool:
        """Whether parameters of a producer come as versions."""
        return producer in self._needs

    def first_parameters(self, producer: str) -> Arrays | None:
        """What a fresh task begins with; None if its producer has paused before it published anything."""
        arrays, version, _ = self._newest(producer, known=-1, least=0)
        if version < 0:
            return None
        self.taken[producer] = version
        return arrays

    def begin(self, learner: Learner, at: SyncPoint) -> bool:
        """Publish and take what is due before the first step of a layer, or in its middle; see `sync_point`."""
        self._merged_at = at.step
        self._publish(learner, at, also_between=True)
        return at.step > 0 and self._take(learner, at)  # a fresh task has just taken its first

    def sync_point(self, learner: Learner, at: SyncPoint) -> bool:
        """Merge, publish and take what is due; return whether the task should give up its ranks for now.

        Raises:
            TaskFailedError: if the parameters are not finite or do not fit to those of the other members.
        """
        started = time.perf_counter()
        if self._merge is not None and at.step > self._merged_at and at.clock(self._merge[1].every) is not None:
            self._meet(learner, at.step)
        self._publish(learner, at)
        wait = not at.last and self._take(learner, at)
        self._counts["seconds_coupled"] += time.perf_counter() - started
        return wait

    def facts(self) -> Mapping[str, float]:
        """What was exchanged since the last call, for the ledger."""
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
        """Parameters if they are newer than known, their version, and whether this task may go on with them.

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
        """One round of merging."""
        assert self._merge is not None
        name, merge = self._merge
        task, group = self._context.task, self._context.group
        seen = self._samples_before(step) - self._samples_before(self._merged_at)
        self._merged_at = step

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
            return ({} if packed is None else packed.arrays()), merged.problem

        arrays, problem = share(group, read)
        if problem:
            raise TaskFailedError(f"task {task}, step {step}, merge {name}: {problem}")
        if arrays:
            learner.set_parameters(arrays)
            self._counts["merges"] += 1

    def _squares(self, learner: Learner, pattern: str) -> Arrays:
        """Running mean of squared gradients, looked at once a round: the diagonal of the Fisher information.

        They are gradients of whole batches, not of samples: what is compared between members is right up to a factor
        if their batches are alike.
        """
        for name, gradient in learner.applied_gradients(pattern).items():
            square = np.square(gradient, dtype=np.float64)
            before = self._precision.get(name, square)
            self._precision[name] = KEPT * before + (1 - KEPT) * square
        return dict(self._precision)


def _channels(context: SessionContext) -> dict[VersionChannel, list[ParameterMapping]]:
    """The versions that a task publishes, and what those who read them take."""
    channels: dict[VersionChannel, list[ParameterMapping]] = {}
    for consumer, need in live_consumers(context.job, context.task).items():
        mappings = kind_of(context.job, consumer).parameter_mappings(context.job, consumer)
        taken = [each for each in mappings if each.producer == context.task]
        channels.setdefault(VersionChannel(context.task, need.every), []).extend(taken)
    return channels


def open_coupling(context: SessionContext, samples_before: Callable[[int], int]) -> Coupling | None:
    """The coupling of a task that exchanges anything while it runs; None for others."""
    job, name = context.job, context.task
    coupled = live_needs(job, name) or live_consumers(job, name) or merge_of(job, name)
    return Coupling(context, samples_before) if coupled and context.parameter_client is not None else None
