"""Keys of tasks that train on several sources of samples: the arrays of each, and how steps are composed of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hpcmtl.data.mixture import How
from hpcmtl.jobfile.fields import Name, Reference
from hpcmtl.jobfile.inputs import InputReferences
from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec


class SourceKeys(Spec):
    """The arrays of one source, whose rows belong together."""

    input: InputReferences
    target: Reference | None = Field(default=None, description="train: the targets of these samples")
    targets: dict[Name, Reference] = Field(default={}, description="joint: head -> its targets, of the heads it has")
    mask: Reference | None = Field(default=None, description="train: 1 for each known label, 0 for a missing one")
    masks: dict[Name, Reference] = Field(default={}, description="joint: head -> mask of its targets")
    sample_weights: Reference | None = None


RowCount = Annotated[int, Field(gt=0, le=MOST)]


class MixtureKeys(Spec):
    """The keys of a mixture: how many samples of each source a step has, and how many steps an epoch."""

    how: How = Field(
        default="proportional",
        description="shares in proportion to size, equal, by size ** (1 / temperature), from proportional to nearly "
        "equal over the training, given by batch_sizes, or one source a step in turn",
    )
    temperature: float | None = Field(default=None, ge=1, le=1e6, description="temperature: 1 is proportional")
    batch_sizes: dict[Name, RowCount] = Field(
        default={}, description="fixed: samples of each source in a step; round_robin: in the steps of that source"
    )
    steps: RowCount | None = Field(default=None, description="steps of an epoch; default: as many as the sources allow")
    oversample: bool = Field(default=False, description="whether samples of a small source may come again in an epoch")

    @model_validator(mode="after")
    def _keys_of_rule(self) -> MixtureKeys:
        if (self.temperature is None) == (self.how == "temperature"):
            if self.how == "temperature":
                raise ValueError(
                    "a mixture `temperature` needs `temperature`: 1 is proportional, more is nearer to equal"
                )
            raise ValueError(
                f"a mixture `{self.how}` takes no `temperature`; write `how: temperature`, or leave it out"
            )
        if self.batch_sizes and self.how not in {"fixed", "round_robin"}:
            text = f"a mixture `{self.how}` takes no `batch_sizes`: a step has `batch_size` samples of all sources"
            raise ValueError(f"{text}; write `how: fixed`, or leave them out")
        if self.how == "fixed" and not self.batch_sizes:
            raise ValueError("a mixture `fixed` needs `batch_sizes`: {SOURCE: samples in a step, ...}")
        return self
