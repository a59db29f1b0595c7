"""Keys of a task that goes on from an earlier run, on the rows that were added since."""

from __future__ import annotations

from pydantic import Field

from hpcmtl.jobfile.fields import PathText
from hpcmtl.networks.spec import Spec


class IncrementKeys(Spec):
    """The earlier training, and how many of its samples come again."""

    new_since: PathText = Field(description="run directory of the earlier training, or its artifact artifacts/TASK.h5")
    replay: float = Field(default=0.2, ge=0, lt=1, description="share of the samples of an epoch that are earlier ones")
