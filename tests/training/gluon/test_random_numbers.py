"""Streams of random numbers are one for all threads, and no thread disturbs what another looks at."""

from __future__ import annotations

import threading

import numpy as np

from hpcmtl.training.gluon import random_numbers


def test_a_trace_sees_its_own_draws_alone():
    """A thread that begins the streams again waits for the trace of another, which takes nothing for its own draws."""
    other = threading.Thread(target=random_numbers.seed_all, args=(7,))
    with random_numbers.traced_as_in_training() as drew:
        other.start()
        other.join(0.2)
        waits = other.is_alive()
    other.join(10)

    assert (waits, drew, other.is_alive()) == (True, [], False)


def test_a_trace_tells_its_draws_and_takes_them_back():
    """Random numbers that the code of a trace draws are named, and the stream goes on as if it had drawn nothing."""
    with random_numbers.seeded(3):
        expected = np.random.rand()  # noqa: NPY002 - the stream in question
    with random_numbers.seeded(3):
        with random_numbers.traced_as_in_training() as drew:
            np.random.rand()  # noqa: NPY002 - as above
        found = np.random.rand()  # noqa: NPY002 - as above

    assert (drew, found) == (["numpy.random"], expected)
