"""The session of predict tasks: the outputs of a network for every sample, one array an objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.tasks import SPLITS
from hpcmtl.training.sessions.applied import AppliedSession

if TYPE_CHECKING:
    from hpcmtl.training.kinds.schemas import Predict
    from hpcmtl.training.session import SessionContext


class PredictSession(AppliedSession):
    """Runs a network over all samples; see `Session`."""

    def __init__(self, context: SessionContext, task: Predict) -> None:
        super().__init__(context, task, SPLITS, {})
