"""A run is known to be dead where its locks and its ranks are, and only there."""

import os
import socket

import pytest
from events import event
from plans import SMALL_PLAN

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.pipeline.live.liveness import read_liveness
from hpcmtl.pipeline.run.claim import claimed
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import RunDirectory, write_json_atomically

HERE = socket.gethostname()


@pytest.fixture
def run(tmp_path):
    """A run directory with an attempt that has begun on this host."""
    return begun(tmp_path, HERE)


def begun(folder, host):
    """Let an attempt begin on a host, and its process go."""
    run = RunDirectory(folder)
    write_json_atomically(run.plan_file, SMALL_PLAN)
    node = {"host": host, "ranks": [0, 0], "count": 1}
    gone = {"rank": 0, "host": host, "pid": 2**22 + 1}  # above the largest number of a process
    write_json_atomically(run.status_file, {"nodes": [node], "rank_heartbeats": [gone]})
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("job_started", job="a", ranks=4, policy="variable", attempt=1, host=host))
    return run


def test_a_free_ledger_is_the_end(run):
    """Without a lock on ledger and claim no attempt lives; with one of them it may."""
    dead = read_liveness(run)[1]
    with Ledger(run.ledger_file):
        going_on = read_liveness(run)[1]

    def beginning(world):
        with claimed(world, run.path):
            return read_liveness(run)[1]

    assert (dead, going_on, run_ranks(1, beginning)) == (True, False, [False])


def test_another_host_is_unknown(tmp_path):
    """Locks may hold on one host alone: what ran on another may live."""
    assert not read_liveness(begun(tmp_path, "elsewhere"))[1]


@pytest.mark.parametrize(("host", "pid"), [(HERE, os.getpid()), ("elsewhere", 1)], ids=["here", "elsewhere"])
def test_a_rank_that_may_live(run, host, pid):
    """After the loss of rank 0 the others open the ledger again: while one may live, the run is not dead."""
    node = {"host": host, "ranks": [0, 0], "count": 1}
    last = {"rank": 0, "host": host, "pid": pid}
    write_json_atomically(run.status_file, {"nodes": [node], "rank_heartbeats": [last]})

    assert not read_liveness(run)[1]


def test_an_ended_run_did_not_die(run):
    """A run that says its end is left to the ledger."""
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("job_ended", status="complete", seconds=1.0))

    assert not read_liveness(run)[1]
