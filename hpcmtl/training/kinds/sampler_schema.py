"""Keys of the sampler of a task that trains."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hpcmtl.jobfile.fields import Reference
from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec

_SAMPLER_KEYS = {"balanced": (None, {"classes", "samples"}), "weighted": ("weights", {"samples"})} | {
    "k_shot": ("k", {"classes"})
}
"""How a sampler chooses -> the key that it needs, and those that it may have."""


class SamplerKeys(Spec):
    """Which samples of the train split an epoch has, and how often."""

    how: Literal["balanced", "weighted", "k_shot"] = Field(
        description="all classes equally often; in proportion to weights; k samples of each class"
    )
    classes: Reference | None = Field(
        default=None, description="balanced and k_shot: one class number a sample; default: the only target of the task"
    )
    weights: Reference | None = Field(default=None, description="weighted: one number a sample, 0 or more")
    k: int | None = Field(default=None, gt=0, le=MOST, description="k_shot: samples of each class")
    samples: int | None = Field(
        default=None, gt=0, le=MOST, description="balanced and weighted: samples an epoch; default: as in the split"
    )

    @model_validator(mode="after")
    def _keys_of_one(self) -> SamplerKeys:
        needed, may = _SAMPLER_KEYS[self.how]
        given = {key for key in ("classes", "weights", "k", "samples") if self.model_dump()[key] is not None}
        if needed is not None and needed not in given:
            raise ValueError(f"a sampler `{self.how}` needs `{needed}`")
        if other := sorted(given - may - {needed}):
            raise ValueError(f"a sampler `{self.how}` takes no `{other[0]}`; leave it out")
        return self
