"""Mean reciprocal rank and normalised discounted cumulative gain, over checked arrays, without loops over rows.

Ties do not depend on the order of the sort. The reciprocal rank places a relevant item behind all irrelevant items of
the same score, so that a model with equal scores gains nothing. The cumulative gain is the mean over all orders of the
tied items. For one relevant class the two are scikit-learn's label_ranking_average_precision_score and ndcg_score.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Classes = NDArray[np.int64]


def over_classes(metric: str, scores: Scores, classes: Classes, cutoff: int | None) -> float:
    """Returns the mean over rows of a ranking metric of classes; see `values_over_classes`."""
    return float(values_over_classes(metric, scores, classes, cutoff).mean())


def values_over_classes(metric: str, scores: Scores, classes: Classes, cutoff: int | None) -> Scores:
    """Returns a ranking metric of classes of each row, in which one of them is relevant.

    Args:
        metric: ``mrr`` or ``ndcg``.
        scores: (n, classes) scores.
        classes: (n,) number of the relevant class.
        cutoff: number of places that count, from the top; None for all.
    """
    true = scores[np.arange(len(classes)), classes][:, None]
    above, tied = (scores > true).sum(axis=1), (scores == true).sum(axis=1)
    if metric == "mrr":
        return _reciprocal(above + tied, cutoff)
    summed = np.concatenate([[0.0], np.cumsum(_discounts(scores.shape[1], cutoff))])
    return np.asarray((summed[above + tied] - summed[above]) / tied)


def over_queries(metric: str, scores: Scores, gains: Scores, queries: Classes, cutoff: int | None) -> float:
    """Returns the mean over queries of a ranking metric of documents; 0 for a query without a relevant document.

    Args:
        metric: ``mrr`` (every relevance above 0 is relevant) or ``ndcg`` (linear gains).
        scores: (n,) scores of the documents.
        gains: (n,) relevances of the documents, not negative.
        queries: (n,) number of each document's query, from 0 without gaps.
        cutoff: number of places that count, from the top; None for all.
    """
    measure = _query_mrr if metric == "mrr" else _query_ndcg
    return float(measure(scores, gains, queries, cutoff).mean())


def _discounts(length: int, cutoff: int | None) -> Scores:
    discounts: Scores = 1 / np.log2(np.arange(length, dtype=np.float64) + 2)
    if cutoff is not None:
        discounts[cutoff:] = 0
    return discounts


def _reciprocal(ranks: NDArray[np.int64], cutoff: int | None) -> Scores:
    return np.where(ranks <= (cutoff or math.inf), 1 / ranks, 0.0)


def _query_mrr(scores: Scores, gains: Scores, queries: Classes, cutoff: int | None) -> Scores:
    """Returns reciprocal ranks of the relevant documents with the best score, behind irrelevant ones of that score."""
    relevant = gains > 0
    best = np.full(queries.max() + 1, -np.inf)
    np.maximum.at(best, queries[relevant], scores[relevant])
    in_front = queries[~relevant & (scores >= best[queries])]
    ranks = np.bincount(in_front, minlength=len(best)) + 1
    return np.where(np.isfinite(best), _reciprocal(ranks, cutoff), 0.0)


def _query_ndcg(scores: Scores, gains: Scores, queries: Classes, cutoff: int | None) -> Scores:
    """Returns the gain of each query; tied documents share their mean gain (McSherry and Najork, ECIR 2008)."""
    order = np.lexsort((-scores, queries))
    scores, gains, queries = scores[order], gains[order], queries[order]
    sizes = np.bincount(queries)
    places = np.arange(len(queries)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    discounts = _discounts(int(sizes.max()), cutoff)[places]

    starts = np.flatnonzero(np.r_[True, (np.diff(queries) != 0) | (np.diff(scores) != 0)])
    mean_gains = np.add.reduceat(gains, starts) / np.diff(np.r_[starts, len(gains)])
    found = np.bincount(queries[starts], weights=mean_gains * np.add.reduceat(discounts, starts))
    ideal = np.bincount(queries, weights=gains[np.lexsort((-gains, queries))] * discounts)
    return np.divide(found, ideal, out=np.zeros_like(found), where=ideal > 0)
