"""The session of extract tasks: the output of one part of a network for every sample, as the array `values`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.tasks import SPLITS
from hpcmtl.training.sessions.applied import AppliedSession

if TYPE_CHECKING:
    from hpcmtl.training.kinds.schemas import Extract
    from hpcmtl.training.session import SessionContext


class ExtractSession(AppliedSession):
    """Runs one part of a network over all samples; see `Session`."""

    def __init__(self, context: SessionContext, task: Extract) -> None:
        self.part = task.output
        super().__init__(context, task, SPLITS, {})
