"""Extract tasks: what one part of a network makes of every sample, as the array `values` of a data file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.tasks import SPLITS
from hpcmtl.training.sessions.applied import AppliedSession

if TYPE_CHECKING:
    from hpcmtl.training.kinds.schemas import Extract
    from hpcmtl.training.session import SessionContext


class ExtractSession(AppliedSession):
    """See `Session`."""

    def __init__(self, context: SessionContext, task: Extract) -> None:
        self.part = task.output
        super().__init__(context, task, SPLITS, {})
