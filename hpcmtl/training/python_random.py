"""Random numbers of Python and numpy: one stream of each for all threads of a process, and for all frameworks.

Ranks may be threads of one process. So a stretch that seeds the streams, or looks whether they were drawn from, has
`ONE_AT_A_TIME`; the streams of a framework, which are one for all threads as well, are under the same lock.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE_AT_A_TIME = threading.RLock()
"""Lock of the streams, for a stretch that seeds them and draws from them, or that compares their states."""


def seed_python(seed: int) -> None:
    """Begins both streams again."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the stream of those who do not make one of their own


@contextmanager
def python_kept() -> Iterator[None]:
    """Lets both streams go on after a block as if it had drawn nothing."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002 - as above
