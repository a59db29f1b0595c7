"""User code of the python task in examples/small.yaml."""

from __future__ import annotations

from typing import Any

import numpy as np


def mean_of_features(context: Any) -> dict[str, Any] | None:
    """Averages the features over all samples; each rank of the group sums its share."""
    features = context.read("features/values").astype(np.float64)
    total = features[context.group.rank :: context.group.size].sum(axis=0)
    context.group.Allreduce(total)
    means = total / len(features)
    return {"largest_mean": float(np.abs(means).max()), "means": means[np.newaxis].astype(np.float32)}
