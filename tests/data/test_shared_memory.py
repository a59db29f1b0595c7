"""Tests of hpcmtl.data.shared_memory: real processes, one of which is killed."""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpcmtl.data.shared_memory import SegmentAddress, SharedSegment, address_space_left, aligned

NAMED, OPEN = Path("/dev/shm"), Path("/proc/self/fd")  # noqa: S108 - looked at alone
HOLD = """
import sys
import numpy as np
from hpcmtl.data.shared_memory import SharedSegment
segment = SharedSegment.create(800)
segment.array(0, (100,), np.dtype(np.float64))[:] = np.arange(100)
address = segment.address
print(address.pid, address.descriptor, address.inode, address.size, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Another process with a segment of the numbers 0 to 99, and its address."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        yield process, SegmentAddress(*map(int, process.stdout.readline().split()))
        process.kill()


def test_another_process_has_the_same_memory(holder):
    """Values of one process are seen by another, which keeps them after the first was killed; no name is left."""
    process, address = holder
    names = set(NAMED.iterdir())
    numbers = SharedSegment.attach(address).array(0, (100,), np.dtype(np.float64))
    process.kill()
    process.wait()

    assert np.array_equal(np.arange(100), numbers)
    with pytest.raises(OSError, match=str(address.pid)):
        SharedSegment.attach(address)
    assert not [name for name in set(NAMED.iterdir()) - names if "hpcmtl" in str(name)]


def test_another_file_is_not_taken_for_the_segment(holder):
    """A number that means another file by now is refused."""
    _, address = holder

    with pytest.raises(FileNotFoundError, match="is another one by now"):
        SharedSegment.attach(dataclasses.replace(address, inode=address.inode + 1))


def test_arrays_outlive_the_closed_segment():
    """`close` ends the use by others, frees the descriptor, and may be called twice."""
    before = len([*OPEN.iterdir()])
    segment = SharedSegment.create(aligned(10))
    numbers = segment.array(0, (2, 5), np.dtype(np.uint8))
    segment.close()
    segment.close()
    numbers[1] = 7

    assert numbers.sum() == 35
    del numbers, segment
    assert len([*OPEN.iterdir()]) == before


def test_the_limit_of_the_address_space_is_known():
    """Under `ulimit -v` the rest of the limit is returned, else a number above any memory; too large is an OSError."""
    program = "from hpcmtl.data.shared_memory import *; print(address_space_left()); SharedSegment.create(1 << 40)"
    command = f"ulimit -v {4 << 20}; exec {sys.executable} -c '{program}'"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY or address_space_left() == 1 << 62
    assert 2 << 30 < int(done.stdout) < 4 << 30
    assert "OSError" in done.stderr
