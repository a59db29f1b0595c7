"""Ranks are taken for dead and killed: silences and the clock come in; the killing is real."""

import os
import signal
import subprocess
import sys

import pytest

from hpcmtl.dispatch.coordinator.running import UnrecoverableError
from hpcmtl.dispatch.health.topology import Topology
from hpcmtl.dispatch.health.watchdog import SECONDS_TO_DIE, FenceCommand, HungRank, Watchdog, fence
from hpcmtl.dispatch.membership.world import World
from hpcmtl.launch.resources.facts import born_at

NODES = Topology(0, World.first(6), ("a", "a", "b", "b", "b", "c"))


def silent(**seconds):
    """Ranks by name (`r3`) that have been suspect for so long, and without a word for 30 s more."""
    return {int(rank[1:]): since + 30.0 for rank, since in seconds.items()}


def test_named_once_after_the_limit():
    """A suspect is taken for dead once its time is over, a rank of its node is to kill it, and it is named once."""
    dog = Watchdog(NODES, 60.0, 30.0)

    assert dog.look(silent(r3=59.9), 0.0) == []
    assert dog.look(silent(r3=60.1), 0.2) == [HungRank(member=3, host="b", seconds=90.1, fenced_by=2)]
    assert dog.look(silent(r3=61.0), 1.1) == []


def test_back_and_silent_again():
    """A rank that sends heartbeats again has its whole time again."""
    dog = Watchdog(NODES, 60.0, 30.0)
    dog.look(silent(r1=61.0), 0.0)

    assert dog.look({}, 1.0) == []
    assert dog.look(silent(r1=1.0), 100.0) == []
    assert [hung.fenced_by for hung in dog.look(silent(r1=61.0), 160.0)] == [0]


def test_the_first_rank_of_a_node():
    """When the rank that sends for its node is silent, it alone is taken for dead; the next rank is to kill it."""
    dog = Watchdog(NODES, 60.0, 30.0)

    assert dog.look(silent(r2=61.0, r3=61.0, r4=61.0), 0.0) == [HungRank(member=2, host="b", seconds=91.0, fenced_by=3)]
    assert dog.look(silent(r3=62.0), 1.0) == [HungRank(member=3, host="b", seconds=92.0, fenced_by=2)]


def test_alone_on_its_node():
    """A rank that has a node of its own can be killed by nobody."""
    assert Watchdog(NODES, 60.0, 30.0).look(silent(r5=61.0), 0.0) == [
        HungRank(member=5, host="c", seconds=91.0, fenced_by=None)
    ]


def test_never():
    """With a limit of 0 no rank is ever taken for dead."""
    assert Watchdog(NODES, 0.0, 30.0).look(silent(r3=1e6), 0.0) == []


def test_a_process_that_does_not_die():
    """A rank that is still silent some time after it was to be killed ends the run."""
    dog = Watchdog(NODES, 60.0, 30.0)
    dog.look(silent(r3=61.0), 0.0)

    assert dog.look(silent(r3=70.0), SECONDS_TO_DIE) == []
    with pytest.raises(UnrecoverableError, match="rank 3 on b hangs and could not be ended"):
        dog.look(silent(r3=80.0), SECONDS_TO_DIE + 0.1)


def test_of_several_that_do_not_die_the_first_is_named():
    """The rank that was declared dead first is named, with its own host."""
    dog = Watchdog(NODES, 60.0, 30.0)
    dog.look(silent(r1=61.0, r3=61.0), 0.0)

    with pytest.raises(UnrecoverableError, match="rank 1 on a hangs"):
        dog.look(silent(r1=80.0, r3=80.0), SECONDS_TO_DIE + 0.1)


def test_the_right_process_is_killed():
    """A stopped process is killed; one that has its number but began at another time is spared."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        born = born_at(process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        spared = fence(FenceCommand(member=1, pid=process.pid, born=born - 100))
        alive = process.poll()
        killed = fence(FenceCommand(member=1, pid=process.pid, born=born))
        process.wait(10)

    assert (spared, alive) == (False, None)
    assert (killed, process.returncode) == (True, -signal.SIGKILL)
    assert not fence(FenceCommand(member=1, pid=process.pid, born=born))
