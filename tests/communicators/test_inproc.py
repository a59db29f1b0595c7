"""Ranks as threads: results by rank, and no rank waits for one that has failed."""

import threading

import numpy as np
import pytest

from hpcmtl.communicators.base import CommunicationError
from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.communicators.polling import next_message


def test_results_come_by_rank():
    """Every rank gets the arguments, and its result lands at its place."""
    results = run_ranks(3, lambda comm, text: (comm.rank, comm.size, text), "same")

    assert results == [(0, 3, "same"), (1, 3, "same"), (2, 3, "same")]


@pytest.mark.parametrize(
    "wait",
    [
        lambda comm: comm.recv(),
        lambda comm: comm.barrier(),
        lambda comm: comm.Allreduce(np.ones(3)),
        lambda comm: comm.create_group([0, 1, 2], tag=0).barrier(),
    ],
    ids=["recv", "barrier", "Allreduce", "create_group"],
)
def test_a_failure_ends_the_waits_of_the_others(wait):
    """The error of the one is raised, named by rank; the others were told of it."""
    told = []

    def work(comm):
        if comm.rank == 1:
            raise ZeroDivisionError("in user code")
        try:
            wait(comm)
        except CommunicationError as error:
            told.append(str(error))
            raise

    with pytest.raises(RankFailedError, match="rank 1 of 3 raised ZeroDivisionError: in user code") as caught:
        run_ranks(3, work)

    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert told == ["the world has ended: rank 1 raised ZeroDivisionError: in user code"] * 2


def test_a_failure_reaches_a_thread_that_only_looks():
    """A control thread that probes is ended by the failure of a training thread."""
    ended = threading.Event()

    def look(control):
        with pytest.raises(CommunicationError, match="rank 0 raised ValueError"):
            next_message(control, threading.Event(), timeout=60)
        ended.set()

    def work(comm):
        threading.Thread(target=look, args=(comm.dup(),), daemon=True).start()
        if comm.rank == 0:
            raise ValueError("no")
        comm.barrier()

    with pytest.raises(RankFailedError, match="rank 0 of 2 raised ValueError: no"):
        run_ranks(2, work)

    assert ended.wait(30)


def test_abort_ends_the_world():
    """`abort` on one rank is an error on all of them."""
    with pytest.raises(RankFailedError, match=r"rank 2 of 3 raised CommunicationError: abort\(3\) was called"):
        run_ranks(3, lambda comm: comm.abort(3) if comm.rank == 2 else comm.barrier())


def test_different_collectives_are_told_apart():
    """Ranks that disagree on the verb get an error with both names instead of each other's messages."""
    with pytest.raises(RankFailedError, match=r"rank 1 called bcast while rank 0 called Bcast"):
        run_ranks(2, lambda comm: comm.Bcast(np.ones(1)) if comm.rank == 0 else comm.bcast(None))
