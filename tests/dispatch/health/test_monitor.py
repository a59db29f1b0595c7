"""Monitors of other ranks, and the end of a rank 0 that hangs."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hpcmtl.dispatch.health import monitor as monitor_module
from hpcmtl.dispatch.health.monitor import HealthMonitor
from hpcmtl.dispatch.health.timing import HeartbeatTiming
from hpcmtl.dispatch.health.topology import Topology
from hpcmtl.dispatch.membership.world import World
from hpcmtl.launch.resources.facts import born_at
from hpcmtl.results.heartbeat import Heartbeat
from hpcmtl.results.sinks.log_warnings import sentence

TIMING = HeartbeatTiming(interval=1.0, hung=2.0)


@pytest.fixture
def process():
    """A process that hangs for as long as nobody kills it."""
    code = "import time; print('up', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"  # one that starts waits for its disk, and is spared for that
        yield process
        process.kill()


def standby_monitor(hosts, heartbeat):
    """Rank 1 of such a world, which has heard of rank 0 once; with what it says."""
    events = []

    monitor = HealthMonitor(
        SimpleNamespace(), Topology(1, World.first(len(hosts)), tuple(hosts)), TIMING, events.append, 0.0
    )
    monitor.heard([heartbeat], 0.0)
    return monitor, events


def watch(monitor, begin, end):
    """Look every tenth of a second."""
    for tenths in range(begin, end):
        monitor.look(tenths / 10)


def test_rank_0_hangs(process):
    """Rank 0 is suspect after six heartbeats, and is killed once it has been that for as long as is given."""
    heartbeat = Heartbeat(0, 1, 0.0, 0.0, 1, "t", 3, 7, pid=process.pid, born=born_at(process.pid))
    monitor, events = standby_monitor(["a", "a"], heartbeat)
    kinds = []
    for tenths in range(100):
        monitor.look(tenths / 10)
        kinds.append([event.name for event in events])
    hung = events[1]

    assert process.wait(10) == -signal.SIGKILL
    assert kinds[59] == []
    assert kinds[75] == ["rank_suspected"]
    assert kinds[-1] == ["rank_suspected", "rank_hung"]
    assert (hung.rank, hung.fenced_by, hung.doing) == (0, 1, "task t, layer 3, step 7")
    assert sentence(hung) == "rank 0 on a hangs: no heartbeat for 8 s; declared dead, at " + hung.doing


def test_rank_0_is_alone_on_its_node(process):
    """From another node it is named, and left alone: its file system may not answer."""
    heartbeat = Heartbeat(0, 1, 0.0, 0.0, 1, pid=process.pid, born=born_at(process.pid))
    monitor, events = standby_monitor(["a", "b"], heartbeat)
    watch(monitor, 0, 600)

    assert [event.name for event in events] == ["rank_suspected"]
    assert process.poll() is None


def test_a_rank_that_waits_for_its_file_system_is_spared(process, monkeypatch):
    """As long as it does; once it does no more and is silent still, it is killed."""
    waits = [True]
    monkeypatch.setattr(monitor_module, "waits_for_disk", lambda pid: waits[0] and pid == process.pid)
    heartbeat = Heartbeat(0, 1, 0.0, 0.0, 1, pid=process.pid, born=born_at(process.pid))
    monitor, events = standby_monitor(["a", "a"], heartbeat)
    watch(monitor, 0, 600)
    before = [event.name for event in events], process.poll()
    waits[0] = False
    watch(monitor, 600, 610)

    assert before == (["rank_suspected"], None)
    assert process.wait(10) == -signal.SIGKILL


def test_a_slow_rank_0_is_left_alone(process):
    """A rank 0 that sends heartbeats again in time is back, and nothing else happens."""
    heartbeat = Heartbeat(0, 1, 0.0, 0.0, 1, pid=process.pid, born=born_at(process.pid))
    monitor, events = standby_monitor(["a", "a"], heartbeat)
    watch(monitor, 0, 71)
    monitor.heard([heartbeat], 7.0)
    watch(monitor, 71, 140)

    assert [event.name for event in events] == ["rank_suspected", "rank_recovered", "rank_suspected"]
    assert process.poll() is None


def test_a_silent_rank_of_which_no_step_is_known():
    """A rank that falls silent before the first report of its layer is named with task and layer alone."""
    monitor, events = standby_monitor(["a", "b"], Heartbeat(0, 1, 0.0, 0.0, 1, "t", 3))
    watch(monitor, 0, 70)

    (said,) = map(sentence, events)
    assert said.endswith("it was at task t, layer 3; is its node well?")


def test_lost_ranks_are_named_with_the_tasks_of_their_orders():
    """A heartbeat may be older than the layer that a rank ran; after a loss the orders of other groups stay."""
    events = []
    world = World.first(4)
    monitor = HealthMonitor(SimpleNamespace(), Topology(0, world, ("a",) * 4), TIMING, events.append, 0.0)
    monitor.heard([Heartbeat(rank, 1, 0.0, 0.0, 1, "old", 3, 7) for rank in (1, 2, 3)], 0.0)
    monitor.note_order((1, 2), "new", 0)
    monitor.note_order((3,), "other", 5)
    monitor.note_step("new", 2)
    monitor.note_end((3,), "other", 4)  # a late report on another layer
    smaller = world.shrunk([0, 1, 3])
    monitor.record_lost(smaller)
    later = HealthMonitor(SimpleNamespace(), Topology(0, smaller, ("a",) * 4), TIMING, events.append, 0.0)
    later.take_steps(monitor)
    later.heard([Heartbeat(1, 1, 0.0, 0.0, 1, "old", 3, 7)], 0.0)
    later.record_lost(smaller.shrunk([0]))

    assert [(event.rank, event.task, event.layer, event.step) for event in events] == [
        (2, "new", 0, 2),
        (1, "", 0, 0),
        (3, "other", 5, 0),
    ]
