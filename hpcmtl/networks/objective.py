"""Objectives: the losses that a network is trained for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MAIN = "main"
"""Name of the objective of a network that has only one."""

NAN: Final = "nan"
Missing = float | Literal["nan"]
"""The number that stands for a missing label. NaN is a word, as it is equal to nothing and no number of JSON."""
ClassWeights = Literal["balanced"] | tuple[float, ...]
"""Weights of the samples of each class, in the order of their numbers; ``balanced`` weights make classes equal."""
MeanOver = Literal["labelled", "batch"]
LABEL_LOSSES = frozenset({"l2", "l1", "huber", "sigmoid_bce"})
"""Losses that are the mean over the labels of a sample, each of which may be missing."""


@dataclass(frozen=True)
class Objective:
    """One loss of a task.

    Attributes:
        name: name of the network's output; `MAIN` if there is only one.
        target: reference of the array of targets, ``source/dataset``.
        loss: name of the loss.
        weight: factor of the loss in the sum that is minimised.
        metrics: names of the metrics that are computed on held-out samples.
        missing: number that stands for a missing label in the targets; None if no number does.
        mask: reference of an array with 1 for each known label and 0 for each missing one; None without.
        class_weights: factors of the losses by the class of the label; None for none.
        label_smoothing: share of the target of a training loss that all classes have alike, from 0 to below 1.
        mean_over: what the loss of a step is the mean over: the labelled samples of the group's batch, or all of them.
        per_token: whether output and target have one value for each token of a sample, each of which counts alike.
        query: reference of an array with the number of the query of each sample, a document that mrr and ndcg rank;
            None where samples belong to no query.
    """

    name: str
    target: str
    loss: str
    weight: float
    metrics: tuple[str, ...]
    missing: Missing | None = None
    mask: str | None = None
    class_weights: ClassWeights | None = None
    label_smoothing: float = 0.0
    mean_over: MeanOver = "labelled"
    per_token: bool = False
    query: str | None = None

    @property
    def is_partly_labelled(self) -> bool:
        """Returns whether labels may be missing."""
        return self.missing is not None or self.mask is not None

    @property
    def has_label_losses(self) -> bool:
        """Returns whether a learner keeps the losses of single labels, (n, labels), since some may be missing."""
        return self.per_token or (self.is_partly_labelled and self.loss in LABEL_LOSSES)
