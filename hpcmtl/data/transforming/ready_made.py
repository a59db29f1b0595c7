"""The ready-made transforms; each changes all samples of a batch at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hpcmtl.data.transforming.sample_random import SampleRandom

    Rows = NDArray[np.float32]
    """(n, ...) samples; images are (n, channels, height, width)."""


def normalise(rows: Rows, mean: Sequence[float], deviation: Sequence[float]) -> Rows:
    """Returns (rows - mean) / deviation, computed in float64; one mean and deviation for each index of axis 1."""
    form = (-1, *[1] * (rows.ndim - 2))
    moved = rows - np.array(mean).reshape(form)
    found: Rows = (moved / np.array(deviation).reshape(form)).astype(np.float32)
    return found


def flip(rows: Rows, random: SampleRandom, axis: str) -> Rows:
    """Returns images of which each is mirrored with probability 1/2, along its width (``horizontal``) or its height."""
    turned = rows[..., ::-1] if axis == "horizontal" else rows[..., ::-1, :]
    chosen = random.uniform() < 0.5
    return np.where(chosen.reshape(-1, *[1] * (rows.ndim - 1)), turned, rows)


def crop(rows: Rows, random: SampleRandom, padding: int) -> Rows:
    """Returns images that are moved by up to `padding` pixels in both directions; zeros come in at the edges."""
    height, width = rows.shape[2:]
    padded = np.pad(rows, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    places = random.integers(0, 2 * padding + 1, 2)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))  # type: ignore[call-overload]
    found: Rows = pieces[np.arange(len(rows)), :, places[:, 0], places[:, 1]]
    return found


def noise(rows: Rows, random: SampleRandom, deviation: float) -> Rows:
    """Returns the rows plus normally distributed numbers."""
    return rows + np.float32(deviation) * random.normal(*rows.shape[1:])


def cutout(rows: Rows, random: SampleRandom, size: int) -> Rows:
    """Returns images with a square of zeros around a pixel each (DeVries and Taylor: Improved regularization, 2017)."""
    first = [random.integers(0, length) - size // 2 for length in rows.shape[2:]]
    inside = [
        (places >= start[:, np.newaxis]) & (places < start[:, np.newaxis] + size)
        for start, places in zip(first, map(np.arange, rows.shape[2:]), strict=True)
    ]
    square = inside[0][:, np.newaxis, :, np.newaxis] & inside[1][:, np.newaxis, np.newaxis, :]
    return np.where(square, np.float32(0), rows)
