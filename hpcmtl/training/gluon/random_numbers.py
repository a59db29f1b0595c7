"""Streams of random numbers that a Gluon network may draw from: MXNet's, Python's and numpy's.

A process has one stream of each for all its threads, and ranks may be threads of one process. So a stretch that seeds
the streams, or looks whether they were drawn from, has `ONE_AT_A_TIME`.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Iterator

mx = import_mxnet()

ONE_AT_A_TIME = threading.RLock()
"""Lock of the streams, for a stretch that seeds them and draws from them, or that compares their states."""


def seed_all(seed: int) -> None:
    """Begins all streams again."""
    with ONE_AT_A_TIME:
        mx.random.seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the stream of those who do not make one of their own


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Begins all streams again for a block; those of Python and numpy go on afterwards as before the block."""
    with ONE_AT_A_TIME:
        states = random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
        seed_all(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002 - as above


@contextmanager
def traced_as_in_training() -> Iterator[list[str]]:
    """Runs the Python code of the block as in training, which a network's own code may ask for.

    Yields a list, filled afterwards, of the streams of random numbers that this code has drawn from; these go on as
    before the block.
    """
    drew: list[str] = []
    with ONE_AT_A_TIME:
        python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002 - as above
        try:
            with mx.autograd.train_mode():
                yield drew
        finally:
            if random.getstate() != python:
                drew.append("random")
                random.setstate(python)
            if str(np.random.get_state(legacy=False)) != str(numpy):  # noqa: NPY002 - as above
                drew.append("numpy.random")
                np.random.set_state(numpy)  # noqa: NPY002 - as above
