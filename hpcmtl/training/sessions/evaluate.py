"""The session of evaluate tasks: metrics of a network on one split, over all its samples at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.metrics import describe_metric
from hpcmtl.networks.objective import MAIN
from hpcmtl.training.evaluation.labelled import WEIGHTS, masks, objective_metric, objective_table, queries
from hpcmtl.training.evaluation.tokens import token_rows
from hpcmtl.training.kinds.weights import weights_of
from hpcmtl.training.loop import TARGET
from hpcmtl.training.sessions.applied import AppliedSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.training.kinds.schemas import Evaluate
    from hpcmtl.training.session import SessionContext


class EvaluateSession(AppliedSession):
    """Computes metrics: ``accuracy``, or ``digit.accuracy`` if there are several objectives; see `Session`."""

    def __init__(self, context: SessionContext, task: Evaluate) -> None:
        self._asked = task.metrics
        kind = kind_of(context.job, context.task)
        objectives = kind.objectives(kind.views(context.job, context.task)[0].job, context.task)
        targets = {
            **{TARGET + each.name: each.target for each in objectives},
            **masks(objectives),
            **queries(objectives),
        }
        weights = weights_of(context.job, context.task)
        if weights is not None:
            targets[WEIGHTS] = weights
        super().__init__(context, task, [task.split], targets)

    publishes = False

    def rows(self, rows: Arrays, numbers: Ints) -> Arrays:
        """See `AppliedSession`; labels for each token, and their masks, are rows of tokens as well."""
        return token_rows(rows, self.objectives, {each.key: each for each in self._sources}, numbers)

    def finish(self, arrays: Arrays) -> Mapping[str, float]:
        """Returns metrics over all rows, and keeps tables; they are exact for any number of ranks and layers."""
        found: dict[str, float] = {}
        for objective in self.objectives:
            for metric in self._asked or objective.metrics:
                name = metric if objective.name == MAIN else f"{objective.name}.{metric}"
                if (described := describe_metric(metric)) is not None and described.publishes_table:
                    self.tables[name] = objective_table(metric, objective, arrays).tolist()
                else:
                    found[name] = objective_metric(metric, objective, arrays)
        return found
