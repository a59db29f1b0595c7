"""Keys of the labels of an objective, of train tasks and of the heads of joint tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hpcmtl.jobfile.fields import MissingLabel, Reference
from hpcmtl.networks.objective import MeanOver
from hpcmtl.networks.spec import Spec

ClassWeight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LabelKeys(Spec):
    """The keys that say which labels of a target are missing, how much each counts, and how sure each is."""

    missing: MissingLabel | None = Field(
        default=None, description="the number that stands for a missing label, or nan; such labels do not count"
    )
    mask: Reference | None = Field(
        default=None, description="an array with 1 for each known label, 0 for a missing one"
    )
    class_weights: Literal["balanced"] | Annotated[tuple[ClassWeight, ...], Field(min_length=2)] | None = Field(
        default=None, description="factors of the losses by class: one for each class, or `balanced`"
    )
    mean_over: MeanOver | None = Field(
        default=None, description="samples of a step whose mean the loss is: labelled (the default), or batch"
    )
    label_smoothing: float | None = Field(
        default=None, ge=0, lt=1, description="share of the target that all classes have alike while it is trained"
    )
    per_token: bool = Field(
        default=False, description="the target has a label for each token of a sample; loss and metrics are over tokens"
    )
    query: Reference | None = Field(
        default=None, description="an array with the query of each sample, whose documents mrr and ndcg rank"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> LabelKeys:
        if self.missing is not None and self.mask is not None:
            raise ValueError("`missing` and `mask` both say which labels are missing; leave one out")
        if isinstance(self.class_weights, tuple) and not any(self.class_weights):
            raise ValueError("all `class_weights` are 0, so that nothing would be learned")
        return self
