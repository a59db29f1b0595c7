"""The network between nodes, measured on threads whose messages move a clock on as a network would."""

import threading
from types import SimpleNamespace

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.pipeline.run import network_probe as network
from hpcmtl.pipeline.run.network_probe import measure_network


class Clock:
    """Seconds that messages took; nothing else takes time, so that a busy machine changes nothing."""

    def __init__(self):
        self._lock, self._seconds = threading.Lock(), 0.0

    def spend(self, seconds):
        with self._lock:
            self._seconds += seconds

    def perf_counter(self):
        return self._seconds


class Slow:
    """A communicator whose messages take a time for each and for each byte."""

    def __init__(self, comm, clock, latency, seconds_per_byte):
        self.comm, self.clock, self.latency, self.seconds_per_byte = comm, clock, latency, seconds_per_byte
        self.sent = 0

    def Send(self, array, dest):  # noqa: N802 - as in mpi4py
        self.clock.spend(self.latency + array.nbytes * self.seconds_per_byte)
        self.sent += array.nbytes
        self.comm.Send(array, dest)

    def __getattr__(self, name):
        return getattr(self.comm, name)


@pytest.fixture
def clock(monkeypatch):
    """A clock of its own for the probe."""
    clock = Clock()
    monkeypatch.setattr(network, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


def measured(hosts, clock, latency=1e-4, seconds_per_byte=1e-8):
    """Returns the results and the bytes sent of the ranks of these hosts."""

    def rank(world):
        slow = Slow(world, clock, latency, seconds_per_byte)
        return measure_network(slow, hosts), slow.sent

    return zip(*run_ranks(len(hosts), rank), strict=True)


@pytest.mark.parametrize("hosts", [["a", "a", "b", "b"], ["a", "b", "a", "b"], ["a", "b", "c"]])
def test_what_a_network_takes(hosts, clock):
    """All ranks know latency and bandwidth; only the first ranks of pairs of nodes send long messages."""
    found, sent = measured(hosts, clock)

    assert len(set(found)) == 1
    assert found[0].latency == pytest.approx(1e-4, rel=0.01)
    assert found[0].seconds_per_byte == pytest.approx(1e-8, rel=0.02)
    assert [count > network.CHUNK for count in sent] == [rank == 0 for rank in range(len(hosts))]
    assert str(found[0]).endswith("Gb/s between nodes")


def test_one_node_has_no_network(clock):
    """On one node nothing is sent and nothing is known."""
    found, sent = measured(["a", "a", "a"], clock)

    assert [*found, *sent] == [None] * 3 + [0] * 3


def test_a_very_slow_network_is_asked_once(monkeypatch, clock):
    """Where the first long message takes longer than the bound, no other follows."""
    monkeypatch.setattr(network, "SLOW", 1e-3)
    found, sent = measured(["a", "b"], clock)

    assert network.CHUNK < sum(sent) < 2 * network.CHUNK
    assert found[0].seconds_per_byte == pytest.approx(1e-8, rel=0.05)
