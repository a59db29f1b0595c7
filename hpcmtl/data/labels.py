"""Labels of which some are missing: which are known, and how much each counts in the mean over a group's batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.missing import is_known
from hpcmtl.data.sources import open_sources
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.missing import Known
    from hpcmtl.data.padding import Padding
    from hpcmtl.data.reader import ArrayReader
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import ClassWeights, MeanOver, Missing

_ROWS, _BYTES = 1 << 14, 4 << 20
"""Limits of the labels that are read at once: samples, and bytes."""


def known_labels(values: NDArray[Any], missing: Missing | None, mask: NDArray[Any] | None) -> Known:
    """Returns which labels are known.

    Args:
        values: (n, ...) labels.
        missing: number that stands for a missing label; None if no number does.
        mask: (n,) or (n, ...) 0 for a missing label; None without a mask.

    Raises:
        InputError: the mask has another shape.
    """
    known = np.ones(values.shape, np.bool_) if missing is None else is_known(values, missing)
    if mask is None:
        return known
    if mask.shape not in {values.shape, values.shape[:1]}:
        text = f"the mask has shape {mask.shape[1:]} a sample, and the labels have {values.shape[1:]}"
        raise InputError([Problem("mask", f"{text}; give it one number a sample, or one a label")])
    present: Known = mask != 0
    return known & present.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))


def real_places(padding: Padding | None, numbers: Ints, shape: tuple[int, ...]) -> Known:
    """Returns which places of labels (n, width, ...) are no padding, in a shape that is broadcast to theirs."""
    if padding is None:
        return np.ones((1,) * len(shape), np.bool_)
    real = padding.real(numbers, shape[1])
    return real.reshape(*real.shape, *[1] * (len(shape) - 2))


@dataclass(frozen=True, eq=False)
class Labels:
    """Tells which labels of one target in one split are known.

    Attributes:
        missing: number that stands for a missing label; None if no number does.
        mask: key under which the rows of the mask are read; None without a mask.
        placeholder: known label that a loss sees in place of a missing number, with weight 0. It is one that the loss
            takes: 0 times a loss of NaN would be NaN.
        counts: (samples of the split,) float32, the part of the labels of each sample that a mean is over: 1 for all of
            them.
        class_weights: (classes,) float32 factors by the class of a label; None for none.
        padding: padding of labels of different lengths; None for labels of one length.
    """

    missing: Missing | None
    mask: str | None
    placeholder: Any
    counts: NDArray[np.float32]
    class_weights: NDArray[np.float32] | None = None
    padding: Padding | None = None

    def known(self, values: NDArray[Any], masks: NDArray[Any] | None, numbers: Ints) -> tuple[NDArray[Any], Known]:
        """Returns labels without missing numbers, and which of them are known, both (n, ...); padding is not."""
        known = known_labels(values, self.missing, masks) & real_places(self.padding, numbers, values.shape)
        return values if self.missing is None else np.where(known, values, values.dtype.type(self.placeholder)), known

    def labelled(self, places: Ints) -> float:
        """Returns the number of samples at some places of the split that a mean is over; one may count in part."""
        return float(self.counts[places].sum(dtype=np.float64))

    def weights(self, values: NDArray[Any], known: Known, samples: int, labelled: float) -> NDArray[np.float32]:
        """Returns the factors by which a sum over a batch, divided by its samples, is the mean over its known labels.

        Args:
            values: (n, ...) labels of a rank's share, as `known` gives them.
            known: (n, ...) which of them are known.
            samples: number of samples in the batch of the whole group.
            labelled: number of samples in that batch that the mean is over.

        Returns:
            (n, ...) 0 for each missing label, and the weight of its class for each other one; all are 0 where the whole
            batch has no label.
        """
        factors = known * np.float32(samples / labelled if labelled else 0.0)
        if self.padding is not None:  # `labelled` counts parts of the longest sample of the file
            factors *= np.float32(values.shape[1] / self.padding.buckets[-1])
        if self.class_weights is None:
            return factors
        classes = np.where(known, values, 0).astype(np.intp)  # a label under the mask may be no class
        return factors * self.class_weights[classes]


def read_labels(
    target: Source,
    mask: Source | None,
    missing: Missing | None,
    class_weights: ClassWeights | None,
    numbers: Ints,
    *,
    mean_over: MeanOver = "labelled",
) -> Labels:
    """Reads all labels of a split once, block by block.

    Args:
        target: the labels.
        mask: 0 for each missing label, else 1; None without a mask.
        missing: number that stands for a missing label; None if no number does.
        class_weights: weights of classes; ``balanced`` ones are made from the known labels of the split.
        numbers: (n,) ascending numbers of the samples in the split.
        mean_over: what a mean over a batch is over, see `Objective.mean_over`; padding never counts.

    Raises:
        InputError: no label of the split is known, or one is no class where there are weights of classes.
    """
    sources = [target] if mask is None else [target, mask]
    counts = np.empty(len(numbers), np.float32)
    placeholder, classes = None, np.zeros(0, np.int64)
    with open_sources(sources) as readers:
        for part in _parts(len(numbers), readers.values()):
            wanted = numbers[part]
            values, *masks = (readers[each.key].rows(wanted, lambda: None) for each in sources)
            present = real_places(target.padding, wanted, values.shape)
            known = present & known_labels(values, missing, masks[0] if masks else None)
            counts[part] = _share_of_places(known if mean_over == "labelled" else present, values.shape)
            if placeholder is None and known.any():
                placeholder = values[known][0].item()
            if class_weights is not None:
                classes = _with_classes(classes, _classes_of(target, values[known], class_weights))
    _require_known(target, placeholder, len(numbers))
    key, table = None if mask is None else mask.key, _table(class_weights, classes)
    return Labels(missing, key, placeholder, counts, table, padding=target.padding)


def _require_known(target: Source, placeholder: object, samples: int) -> None:
    """Refuses labels of which none is known, so that none can stand in the place of a missing one."""
    if placeholder is None:
        text = f"none of the {samples} labels to train on is known; look at `missing` or `mask` of the task"
        raise InputError([Problem(f"{target.path}: {target.dataset}", text)])


def _parts(samples: int, readers: Collection[ArrayReader]) -> Iterator[slice]:
    """Yields the parts of a number of samples that are read at once."""
    rows = max(1, min(_ROWS, _BYTES // max(1, *(each.sample_bytes for each in readers))))
    yield from (slice(start, min(start + rows, samples)) for start in range(0, samples, rows))


def _share_of_places(which: Known, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Returns the share of some places among those of each sample of a shape that they are broadcast to."""
    share: NDArray[np.float64] = np.broadcast_to(which, shape).reshape(shape[0], -1).mean(axis=1)
    return share


def _table(weights: ClassWeights | None, counts: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """Returns the factors of classes from their numbers of samples; None without weights of classes."""
    if weights is None:
        return None
    return balanced(counts) if weights == "balanced" else np.array(weights, np.float32)


def _classes_of(target: Source, labels: NDArray[Any], weights: ClassWeights) -> NDArray[Any]:
    """Returns labels, or refuses those of which one is not the number of a class."""
    classes = np.inf if weights == "balanced" else len(weights)
    with np.errstate(invalid="ignore"):
        bad = (labels < 0) | (labels != np.trunc(labels)) | (labels >= classes)
    if bad.any():
        text = f"{labels[bad][0]:g} is no number of a class, from 0, so that it has no weight"
        raise InputError([Problem(f"{target.path}: {target.dataset}", f"{text}; see `class_weights`")])
    return labels


def _with_classes(counts: NDArray[np.int64], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Returns counts of classes with those of further labels added."""
    more = np.bincount(labels.astype(np.intp), minlength=len(counts))
    more[: len(counts)] += counts
    return more


def balanced(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns weights that give all classes the same sum of weights: samples / (classes * samples of the class).

    Args:
        counts: (classes,) number of samples of each class; one without a sample is no class, and has weight 0.
    """
    there = counts > 0
    weights = counts.sum() / (there.sum() * np.maximum(counts, 1))
    return np.where(there, weights, 0).astype(np.float32)
