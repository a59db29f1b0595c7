"""Calibration of the probabilities of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.training.evaluation.ranking import Classes, Scores

BINS = 15
"""Number of bins where a job names none."""


def expected_calibration_error(scores: Scores, classes: Classes, counts: Scores, bins: int | None) -> float:
    """Computes the mean difference between confidence and accuracy in bins of confidence (Guo et al., ICML 2017).

    The confidence of a sample is the largest of its softmax probabilities. Bins have equal widths from 0 to 1; one
    holds the confidences above its lower and up to its upper bound.

    Args:
        scores: (n, classes) scores.
        classes: (n,) numbers of the true classes.
        counts: (n,) how much each row counts.
        bins: number of bins; None for `BINS`.
    """
    number = bins or BINS
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    confidence = 1 / shifted.sum(axis=1)  # the largest of the numerators is 1
    right = np.argmax(scores, axis=1) == classes
    edges = np.linspace(0, 1, number + 1)
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    gaps = np.bincount(place, weights=counts * (right - confidence), minlength=number)
    return float(np.abs(gaps).sum() / counts.sum())
