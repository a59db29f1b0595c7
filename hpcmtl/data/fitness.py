"""Checks that values can be what a task uses them for: input of a network, class, probability, weight of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.networks.bounds import MOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hpcmtl.data.value_summary import MergedValues, ValueSummary

_ROUNDING = 1e-6  # of 255 * (1 / 255), for example
_CHANCE = 1e-3
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_INT64 = np.iinfo(np.int64)


_TO_DECLARE = "if this label is missing, write `missing: {0}` beside the target"


def network_problem(summary: ValueSummary, *, is_target: bool = False) -> str | None:
    """Returns why a network, which computes in float32, cannot take values, be they all or some; None if it can.

    Args:
        summary: summary of the values.
        is_target: true for targets, which may be missing.
    """
    if summary.dtype.kind not in "iufb":
        known = "text" if summary.dtype.kind in "SU" else summary.dtype
        return f"has values of type {known}; a network takes numbers or truth values"
    if summary.not_finite is not None:
        remedy = f"; {_TO_DECLARE.format('nan')}" if is_target else ""
        return f"sample {summary.not_finite} holds NaN or Inf; drop such samples or fill in a value{remedy}"
    for sample, value in summary.extremes:
        if abs(value) > _FLOAT32_MAX:
            return f"sample {sample} holds {value:g}, which is Inf in float32; divide the values by a constant"
    return None


def integer_problem(dtype: np.dtype[Any], extremes: Iterable[tuple[int, Any]], below: int | None) -> str | None:
    """Returns which values a network that takes integers cannot take; None if it can.

    Args:
        dtype: type of the values, as they are read.
        extremes: the smallest and the largest value, each with its sample; none without values.
        below: the network takes integers from 0 to below this number; None for any that int64 holds.
    """
    if dtype.kind not in "iub":
        return f"has values of type {dtype}; the network takes integers, such as the numbers of tokens or ids"
    low, high = (0, below) if below is not None else (_INT64.min, _INT64.max + 1)
    for sample, value in extremes:
        if not low <= value < high:
            text = f"sample {sample} holds {value}"
            if below is None:
                return f"{text}, which int64 cannot hold; number the values again"
            remedy = f", or give it a `vocabulary` of {value + 1}" if below <= value < MOST else ""
            return f"{text}, but the network takes 0 to {below - 1}: number the values again{remedy}"
    return None


def rounding_problem(summary: ValueSummary, *, is_target: bool) -> str | None:
    """Returns which values of a whole array float32 merges, so that a network cannot use them; None if it can.

    Args:
        summary: summary of all values.
        is_target: true for targets: each position of a sample counts, as a loss compares each.
    """
    whole = summary.dtype.kind in "iu" and summary.scale == 1.0
    if whole and summary.rounded is not None:
        sample, value = summary.rounded
        ids = "" if is_target else "; for ids of an embedding, write `input_type: integer` in a `model` of your own"
        return (
            f"sample {sample} holds {value}, which float32 cannot hold exactly: networks compute in float32, where "
            f"whole numbers above {2**24} merge. Subtract an offset, number the values again from 0, or store them as "
            f"float64 if rounding does no harm{ids}"
        )
    merged = summary.merged
    if merged is None or not (merged.positions == merged.varying or (is_target and not _is_chance(merged))):
        return None
    return f"{_merged_text(merged)}: subtract an offset, e.g. the mean, and store the difference"


def rounding_warning(summary: ValueSummary) -> str | None:
    """Returns which positions of inputs float32 merges, beside others that it does not merge; None without."""
    merged = summary.merged
    if merged is None or merged.positions == merged.varying or _is_chance(merged):
        return None
    text = f"{_merged_text(merged)}, at {merged.positions} of {merged.varying} positions of a sample"
    return f"{text}: subtract an offset, e.g. the mean, if they matter"


def _is_chance(merged: MergedValues) -> bool:
    """Returns true for so few positions that their values may be close by chance, as in two random images."""
    return merged.positions < _CHANCE * merged.varying


def _merged_text(merged: MergedValues) -> str:
    return f"values from {merged.low!r} to {merged.high!r} merge in float32, in which networks compute"


def label_problem(summary: ValueSummary, classes: int) -> str | None:
    """Returns which label is not the number of a class, from 0 to `classes` - 1; None if all are."""
    if summary.dtype.kind == "b":
        return None if classes > 1 else _outside(0, True, classes)
    if summary.fraction is not None and summary.scale == 1.0:
        sample, value = summary.fraction
        return f"sample {sample} has label {value:g}, which is no whole number; a class is a number from 0"
    for sample, value in summary.extremes:
        if not 0 <= value < classes:
            return _outside(sample, value, classes)
    return None


def _outside(sample: int, value: float, classes: int) -> str:
    text = f"sample {sample} has label {value:g}, but the network has one output for each of {classes} classes"
    missing = _TO_DECLARE.format(f"{value:g}")
    if value < 0:
        return f"{text}: write 0 to {classes - 1}; {missing}"
    return f"{text}: write 0 to {classes - 1}, or give the network at least {int(value) + 1} outputs; {missing}"


def binary_problem(summary: ValueSummary) -> str | None:
    """Returns which of several labels a sample is neither 0 nor 1, as metrics of them need; None if all are."""
    for sample, value in _not_binary(summary):
        text = f"sample {sample} has label {value:g}, but metrics of several labels a sample take 0 and 1"
        return f"{text}; use mse or no metrics, or, {_TO_DECLARE.format(f'{value:g}')}"
    return None


def _not_binary(summary: ValueSummary) -> Iterator[tuple[int, Any]]:
    """Yields values that are neither 0 nor 1, with their samples; none if all are."""
    found = (*summary.extremes, *([summary.fraction] if summary.fraction else []))
    return ((sample, value) for sample, value in found if value not in {0, 1})


def class_problem(summary: ValueSummary) -> str | None:
    """Returns which value is no number of a class, whatever the number of classes; None if all are."""
    found = (*summary.extremes[:1], *([summary.fraction] if summary.fraction else []))
    for sample, value in found:
        if value < 0 or value != int(value):
            text = f"sample {sample} has {value:g}, which is no number of a class, from 0"
            return f"{text}; {_TO_DECLARE.format(f'{value:g}')}"
    return None


def probability_problem(summary: ValueSummary) -> str | None:
    """Returns which target of a sigmoid is neither 0 nor 1 nor between them; None if all are."""
    for sample, value in summary.extremes:
        if not 0 <= value <= 1 + _ROUNDING:
            return (
                f"sample {sample} has target {value:g}, but sigmoid_bce takes 0 to 1; for class numbers use "
                f"softmax_ce; {_TO_DECLARE.format(f'{value:g}')}"
            )
    return None


def relevance_problem(summary: ValueSummary) -> str | None:
    """Returns which relevance of a document is negative; None if none is."""
    for sample, value in summary.extremes[:1]:
        if value < 0:
            text = f"sample {sample} has relevance {value:g}, but documents of a query have 0 or more"
            return f"{text}; add a constant, or leave `query` out"
    return None


def known_problem(summary: ValueSummary, *, one_loss: bool) -> str | None:
    """Returns that no label is known, or which sample cannot have known and missing labels; None if neither is so.

    Args:
        summary: summary of the known labels.
        one_loss: true for a loss that gives one value for all labels of a sample.
    """
    if not summary.extremes and summary.dtype.kind in "iuf":
        return "all labels are missing, so that nothing would be learned"
    if summary.partly is None or not one_loss:
        return None
    text = f"sample {summary.partly} has known and missing labels, but the loss gives one value for all of them"
    return f"{text}; use l2, l1, huber or sigmoid_bce, or a head for each label"


def declared_problem(summary: ValueSummary) -> str | None:
    """Returns which number of a target its file marks as missing, while the task does not; None if there is none."""
    for number in summary.declared:
        sample = summary.known[number].absent
        if sample is not None:
            text = f"sample {sample} has {number}, a missing label by the attribute `missing` of the file"
            return f"{text}; write `missing: {number}` beside the target"
    return None


def mask_problem(summary: ValueSummary) -> str | None:
    """Returns which value of a mask is neither 0 nor 1, or that all are 0; None if the mask can be used."""
    for sample, value in _not_binary(summary):
        return f"sample {sample} has {value:g} in the mask; write 1 for a known label and 0 for a missing one"
    if summary.extremes and summary.extremes[-1][1] == 0:
        return "the mask is 0 for all labels, so that nothing would be learned"
    return None


def weight_problem(summary: ValueSummary) -> str | None:
    """Returns which sample weight is negative, or that all are 0; None if the weights can be used."""
    if not summary.extremes:
        return None
    (sample, value), (_, largest) = summary.extremes
    if value < 0:
        return f"sample {sample} has weight {value:g}; sample weights are 0 or more, or the loss has no lower bound"
    return "all sample weights are 0, so that nothing would be learned" if largest == 0 else None
