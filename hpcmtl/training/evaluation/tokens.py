"""Rows of tokens: outputs and labels of the samples of a batch behind each other, without padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sequences import within
from hpcmtl.training.loop import TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import Objective

MASK = "mask/"
"""Prefix of the keys of the rows of masks."""
TOKENS = "tokens/"
"""Prefix of the keys of the numbers of tokens of each sample."""


def flattened(rows: np.ndarray[Any, Any], lengths: Ints) -> np.ndarray[Any, Any]:
    """Returns the values at the tokens (tokens, ...) of rows (n, width, ...); one value a sample is repeated."""
    if rows.ndim == 1:
        return np.repeat(rows, lengths)
    return np.asarray(rows[within(lengths, rows.shape[1])])


def token_rows(
    rows: Mapping[str, np.ndarray[Any, Any]],
    objectives: Sequence[Objective],
    target: Mapping[str, Source],
    numbers: Ints,
) -> Arrays:
    """Returns the rows of a batch, where those of objectives with a label for each token are rows of tokens.

    Args:
        rows: outputs by objective, and labels and masks by key, as `objective_metric` takes them.
        objectives: the objectives.
        target: sources by key, of which those of labels know the lengths.
        numbers: sample numbers of the batch.

    Returns:
        The rows, with the numbers of tokens of each sample under `TOKENS` and the name of such an objective.
    """
    made = dict(rows)
    for each in objectives:
        if not each.per_token:
            continue
        labels, padding = made[TARGET + each.name], target[TARGET + each.name].padding
        lengths = np.full(len(labels), labels.shape[1]) if padding is None else padding.lengths[numbers]
        for key in (each.name, TARGET + each.name, MASK + each.name):
            if key in made:
                made[key] = flattened(made[key], lengths)
        made[TOKENS + each.name] = lengths
    return made
