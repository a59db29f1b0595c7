"""Ready-made transforms, compared with loops over images."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.transforming import ready_made
from hpcmtl.data.transforming.sample_random import SampleRandom

NUMBERS = np.arange(40)
IMAGES = np.random.default_rng(0).normal(size=(40, 2, 5, 7)).astype(np.float32)


def random():
    """The same random numbers at each call."""
    return SampleRandom(NUMBERS, 3)


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_about_half_of_the_images_are_mirrored(axis):
    """An image is as it was, or mirrored along the axis."""
    mirrored = IMAGES[:, :, :, ::-1] if axis == "horizontal" else IMAGES[:, :, ::-1, :]
    found = ready_made.flip(IMAGES, random(), axis)
    turned = [np.array_equal(image, other) for image, other in zip(found, mirrored, strict=True)]

    assert 10 < sum(turned) < 30
    assert all(np.array_equal(found[n], (mirrored if turned[n] else IMAGES)[n]) for n in NUMBERS)


def test_crops_are_pieces_of_the_padded_image():
    """Each image is a window of the padded one; all places of the window occur."""
    found, places = ready_made.crop(IMAGES, random(), 1), set()
    for image, cropped in zip(IMAGES, found, strict=True):
        padded = np.pad(image, [(0, 0), (1, 1), (1, 1)])
        fits = [(y, x) for y in range(3) for x in range(3) if np.array_equal(padded[:, y : y + 5, x : x + 7], cropped)]
        assert len(fits) == 1
        places.update(fits)

    assert len(places) == 9


def test_cutout_is_a_square_around_a_pixel():
    """The zeros of an image are a square of the given side around one of its pixels, cut at the edges."""
    found = ready_made.cutout(IMAGES, random(), 3)
    for image, cut in zip(IMAGES, found, strict=True):
        squares = []
        for y in range(5):
            for x in range(7):
                expected = image.copy()
                expected[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = 0
                squares.append(np.array_equal(expected, cut))
        assert any(squares)


def test_noise_has_the_deviation():
    """The numbers that are added have mean 0 and the given deviation, and are other ones for each value."""
    added = ready_made.noise(IMAGES, random(), 0.25) - IMAGES

    assert abs(added.mean()) < 0.02
    assert added.std() == pytest.approx(0.25, rel=0.05)
    assert len(np.unique(added)) > 0.9 * added.size


@pytest.mark.parametrize("shape", [(), (6,), (3, 4, 4)])
def test_normalise_is_that_of_scikit_learn(shape):
    """With the means and deviations of StandardScaler, a feature or channel has the values that it makes."""
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rows = np.random.default_rng(1).normal(1e3, 5, (40, *shape)).astype(np.float32)
    columns = np.moveaxis(rows, 1, -1).reshape(-1, shape[0]) if shape else rows.reshape(-1, 1)
    scaler = preprocessing.StandardScaler().fit(columns.astype(np.float64))
    expected = scaler.transform(columns.astype(np.float64))
    found = ready_made.normalise(rows, scaler.mean_, scaler.scale_)

    assert (found.dtype, found.shape) == (np.float32, rows.shape)
    found = np.moveaxis(found, 1, -1).reshape(expected.shape) if shape else found.reshape(-1, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
