"""Streams of random numbers that a Gluon network may draw from: MXNet's, and those of `python_random`."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.python_random import ONE_AT_A_TIME, python_kept, seed_python

if TYPE_CHECKING:
    from collections.abc import Iterator

mx = import_mxnet()


def seed_all(seed: int) -> None:
    """Begins all streams again."""
    with ONE_AT_A_TIME:
        mx.random.seed(seed)
        seed_python(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Begins all streams again for a block; those of Python and numpy go on afterwards as before the block."""
    with ONE_AT_A_TIME, python_kept():
        seed_all(seed)
        yield


@contextmanager
def traced_as_in_training() -> Iterator[list[str]]:
    """Runs the Python code of the block as in training, which a network's own code may ask for.

    Yields a list, filled afterwards, of the streams of random numbers that this code has drawn from; these go on as
    before the block.
    """
    drew: list[str] = []
    with ONE_AT_A_TIME:
        python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002 - users draw from it
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
