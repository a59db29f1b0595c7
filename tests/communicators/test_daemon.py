"""Ranks and the daemon whose children they are."""

import signal
import subprocess
import sys

import psutil
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("within", [[], ["sh", "-c", '"$@"; exit $?', "sh"]])
def test_a_rank_ends_with_the_daemon_that_started_it(mpirun, within):
    """A rank that cannot be told anything any more, as the launcher's daemon was killed, does not stay behind."""
    program = """
import os, signal, sys, time
from hpcmtl.communicators import daemon, mpi
daemon.end_with_daemon()
world = mpi.world()
print(os.getpid(), flush=True)
world.barrier()
if world.rank == 0:
    os.kill(daemon.launchers_daemon(), signal.SIGKILL)
time.sleep(100)
"""
    done = mpirun(2, [*within, sys.executable, "-c", program], timeout=30)
    ranks = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]

    assert done.returncode == 128 + signal.SIGKILL  # as a shell says it: the launcher is one
    assert psutil.wait_procs(ranks, timeout=10)[1] == []


def test_stopped_siblings():
    """Of the processes with the same parent those that are stopped are found, and no others."""
    program = "from hpcmtl.communicators.daemon import stopped_siblings; print(*stopped_siblings())"
    others = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    try:
        others[0].send_signal(signal.SIGSTOP)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    finally:
        for other in others:
            other.kill()
            other.wait()

    assert done.stdout.split() == [str(others[0].pid)]
