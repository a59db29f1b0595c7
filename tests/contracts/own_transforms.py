"""Transforms of users, right and wrong ones, that the tests' jobs name."""

from __future__ import annotations

import numpy as np

NOT_A_FUNCTION = 3


def doubled(inputs):
    """Doubles all values."""
    return inputs * 2


def with_rows(inputs, rows):
    """Adds the number of a sample to its values."""
    return inputs + rows.reshape(-1, *[1] * (inputs.ndim - 1))


def jittered(inputs, rows, random, *, strength=0.1):
    """Adds uniform numbers to a sample, and of a generator of its own."""
    own = np.stack([each.normal(size=inputs.shape[1:]) for each in random.generators()])
    return inputs + strength * (random.uniform(*inputs.shape[1:]) + own)


def in_place(inputs):
    """Changes what it is given."""
    inputs += 1
    return inputs


CALLS = []


def patient(inputs):
    """Begins to change samples after many calls."""
    CALLS.append(len(inputs))
    return inputs * (1 if len(CALLS) < 50 else 2)


TABLES = {}


def with_table(inputs):
    """Keeps what it has computed."""
    scale = TABLES.setdefault(inputs.shape[1:], np.float32(2))
    return inputs * scale


def of_global_numbers(inputs):
    """Draws from the generator of numpy that belongs to the process."""
    return inputs + np.random.normal(size=inputs.shape)  # noqa: NPY002 - on purpose


def of_the_batch(inputs):
    """Subtracts the mean of the batch."""
    return inputs - inputs.mean(axis=0)


def fewer(inputs):
    """Leaves out the last sample."""
    return inputs[:-1]


def smaller(inputs):
    """Leaves out the last value of each sample."""
    return inputs[..., :-1]


def undefined(inputs):
    """Makes a value of one sample NaN."""
    return np.where(inputs == inputs.max(), np.nan, inputs)


def listed(inputs):
    """Returns no array."""
    return inputs.tolist()


def in_words(inputs):
    """Returns texts."""
    return inputs.astype(str)


def raising(inputs, rows):
    """Fails."""
    raise ValueError("on purpose")


def of_four(inputs, rows, random, more):
    """Asks for more than there is."""
    return inputs
