"""A training that goes on from an earlier run: its rows, its first parameters, and what is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.hdf5 import numbers_in
from hpcmtl.data.mixed_epochs import MixedEpochs
from hpcmtl.data.mixture import Mixture
from hpcmtl.data.sources import selected
from hpcmtl.errors import InputError, Problem
from hpcmtl.exchange.store import PARAMETERS, read_sealed
from hpcmtl.exchange.transfer import share
from hpcmtl.networks.parameter_mapping import ParameterMapping
from hpcmtl.training.evaluation.validation import HeldOut, old_test_metrics
from hpcmtl.training.increment import EarlierTraining, earlier_training, members_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.sources import Source
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.session import SessionContext


@dataclass(frozen=True)
class Increment:
    """The part of a training that belongs to an earlier run.

    Attributes:
        task: name of the task.
        earlier: the earlier training.
        epochs: plan of epochs of the new rows, with replayed ones.
    """

    task: str
    earlier: EarlierTraining
    epochs: MixedEpochs

    def _load_parameters(self, learner: Learner, group: Communicator) -> None:
        parameters, _ = share(group, lambda: read_sealed(self.earlier.artifact, PARAMETERS))
        loaded = learner.load_mapped(parameters, ParameterMapping(self.task))
        wanted = len(learner.parameters_matching("*"))
        if loaded != wanted:
            text = f"{self.earlier.artifact} has {loaded} of the {wanted} parameters of this network"
            place = f"tasks.{self.task}.increment.new_since"
            raise InputError([Problem(place, f"{text}; name a training of the same network")])

    def begun(self, data: HeldOut, learner: Learner, group: Communicator) -> dict[str, float]:
        """Loads the earlier parameters, and returns their metrics of the old test rows on all ranks (collective).

        Raises:
            InputError: they are those of another network; on all ranks.
        """
        self._load_parameters(learner, group)
        return {f"{name}_before": value for name, value in self._old_test_metrics(data, learner, group).items()}

    def ended(
        self, data: HeldOut, replica: Replica, group: Communicator, before: Mapping[str, float]
    ) -> dict[str, float]:
        """Returns the metrics of the old test rows, and their changes since `begun` (collective)."""
        replica.consolidate()  # running statistics of a rank alone are not those that the task publishes
        found = self._old_test_metrics(data, replica.learner, group)
        return {**found, **{f"{name}_change": value - before[f"{name}_before"] for name, value in found.items()}}

    def _old_test_metrics(self, data: HeldOut, learner: Learner, group: Communicator) -> dict[str, float]:
        """Returns metrics over the test rows that the earlier run had (collective)."""
        rows = int(np.searchsorted(numbers_in(data.arrays[0].split(), ["test"]), self.earlier.rows))
        return old_test_metrics(replace(data, split="test", first=rows), learner, group) if rows else {}


def increment_of(context: SessionContext, task: Trained, first: Source) -> Increment | None:
    """Returns the increment of a task; None for a task that begins afresh (collective).

    Args:
        context: context of the session.
        task: the task.
        first: an array that has the split of all.

    Raises:
        InputError: the earlier run does not fit the data of today; on all ranks.
    """
    if task.increment is None:
        return None
    keys, place = task.increment, f"tasks.{context.task}.increment"
    find = partial(earlier_training, context.job, context.task, keys.new_since, context.files)
    earlier = on_root(context.group, find)
    new, old = members_of(earlier, selected([first], ["train"]), place, replays=keys.replay > 0)
    replayed = round(len(new) * keys.replay / (1 - keys.replay))
    assert task.batch_size is not None, "defaults are filled in"
    sizes = {"new rows": len(new), **({"replayed rows": replayed} if replayed else {})}
    mixture = Mixture(how="proportional", names=tuple(sizes), sizes=tuple(sizes.values()), batch_size=task.batch_size)
    return Increment(context.task, earlier, MixedEpochs(mixture, (new, old)[: len(sizes)]))
