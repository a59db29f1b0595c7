"""Areas under curves of scores, with weights and ties."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.training.evaluation.ranking import Scores


def binary_auc(scores: Scores, positive: NDArray[np.bool_], counts: Scores) -> float:
    """Computes the Mann-Whitney statistic (Hanley and McNeil, 1982) of weighted samples: a tie counts one half.

    Args:
        scores: (n,) scores.
        positive: (n,) which samples are positive; some are, and some are not.
        counts: (n,) how much each sample counts.
    """
    _, level = np.unique(scores, return_inverse=True)
    above = np.bincount(level, weights=counts * positive)
    below = np.bincount(level, weights=counts * ~positive)
    wins = (above * (np.cumsum(below) - below / 2)).sum()
    return float(wins / (above.sum() * below.sum()))


def binary_average_precision(scores: Scores, positive: NDArray[np.bool_], counts: Scores) -> float:
    """Computes the mean of the precisions at all thresholds, each weighted by its gain of recall.

    Args:
        scores: (n,) scores.
        positive: (n,) which samples are positive; some are, with a count above 0.
        counts: (n,) how much each sample counts.
    """
    _, level = np.unique(-scores, return_inverse=True)  # from the highest score; equal scores are one threshold
    gained = np.bincount(level, weights=counts * positive)
    predicted = np.cumsum(np.bincount(level, weights=counts))
    precision = np.divide(np.cumsum(gained), predicted, out=np.zeros_like(predicted), where=predicted > 0)
    return float((gained * precision).sum() / gained.sum())
