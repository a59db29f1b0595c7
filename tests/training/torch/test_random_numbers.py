"""Streams of random numbers are one for all threads, and no thread disturbs what another looks at."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("torch")
from hpcmtl.training.python_random import ONE_AT_A_TIME
from hpcmtl.training.torch import random_numbers


def test_a_look_sees_its_own_draws_alone():
    """A thread that begins the streams again waits while another looks whether its pass has drawn from them."""
    other = threading.Thread(target=random_numbers.seed_all, args=(7,))
    with ONE_AT_A_TIME, random_numbers.kept():
        before = random_numbers.marks()
        other.start()
        other.join(0.2)
        waits, same = other.is_alive(), random_numbers.marks() == before
    other.join(10)

    assert (waits, same, other.is_alive()) == (True, True, False)
