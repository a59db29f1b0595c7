"""Processes that a rank has started are ended at its end; those of others are not."""

import subprocess
import sys

import psutil
import pytest

RANK = """
import subprocess, sys, time
from multiprocessing.shared_memory import SharedMemory
from hpcmtl.launch.leftovers import descendants, end_leftovers

before = subprocess.Popen(["sleep", "611"])
known = descendants()
shared = SharedMemory(create=True, size=8)
ended = subprocess.Popen(["true"])
child = subprocess.Popen(["sleep", "612"])
subprocess.Popen(["setsid", "--fork", "sleep", "613"]).wait()
while subprocess.run(["pgrep", "-f", "^sleep 613"], capture_output=True).returncode:
    time.sleep(0.01)
left = end_leftovers(known)
shared.close()
shared.unlink()
print(sorted(each.partition(" ")[0] for each in left), before.poll() is None)
before.kill()
"""


@pytest.mark.skipif(not psutil.LINUX, reason="reads /proc")
def test_what_is_ended():
    """A child and a detached process are ended; an earlier child, an ended one and a tracker of memory are not."""
    other = subprocess.Popen(["sleep", "614"], stdout=subprocess.PIPE)
    environ = {"OMPI_COMM_WORLD_RANK": "3", "PMIX_NAMESPACE": "test"}
    done = subprocess.run(
        [sys.executable, "-c", RANK],
        env={**psutil.Process().environ(), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert other.poll() is None
    other.kill()
    other.wait()
    other.stdout.close()

    assert done.stdout == "['sleep', 'sleep'] True\n", done.stderr
