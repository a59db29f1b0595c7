"""User code of the python tasks in examples/several_sources.yaml: two small data sets beside the digits."""

from __future__ import annotations

from typing import Any

import numpy as np

TURNED, BARS = 300, 400


def turned_digits(context: Any) -> dict[str, Any]:
    """Turns some of the digits by a quarter, with the split that they have."""
    images, split = context.read("digits/images"), context.read("digits/split")
    chosen = np.random.default_rng(context.seed).permutation(len(images))[:TURNED]
    turned = np.rot90(images[chosen], axes=(2, 3))
    return {
        "images": np.ascontiguousarray(turned, np.float32),
        "digit": context.read("digits/digit")[chosen].astype(np.int64),
        "split": split[chosen],
    }


def bars(context: Any) -> dict[str, Any]:
    """Draws upright and level bars."""
    draw = np.random.default_rng(context.seed)
    upright, place = np.arange(BARS) % 2, draw.integers(1, 7, BARS)
    images = draw.uniform(0, 0.3, (BARS, 1, 8, 8))
    for number in range(BARS):
        image = images[number, 0] if upright[number] else images[number, 0].T
        image[1:7, place[number]] = 1
    return {
        "images": images.astype(np.float32),
        "upright": upright.astype(np.int64),
        "split": np.arange(BARS) // 2 % 10 // 8 + (np.arange(BARS) // 2 % 10 == 9),
    }
