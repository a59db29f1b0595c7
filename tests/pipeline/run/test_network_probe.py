"""The network between nodes, measured on threads whose messages wait as long as a network would."""

import time

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.pipeline.run import network_probe as network
from hpcmtl.pipeline.run.network_probe import measure_network


class Slow:
    """A communicator whose messages take a time for each and for each byte."""

    def __init__(self, comm, latency, seconds_per_byte):
        self.comm, self.latency, self.seconds_per_byte = comm, latency, seconds_per_byte
        self.sent = 0

    def Send(self, array, dest):  # noqa: N802 - as in mpi4py
        end = time.perf_counter() + self.latency + array.nbytes * self.seconds_per_byte
        while time.perf_counter() < end:
            pass
        self.sent += array.nbytes
        self.comm.Send(array, dest)

    def __getattr__(self, name):
        return getattr(self.comm, name)


def measured(hosts, latency=1e-4, seconds_per_byte=1e-8):
    """Returns the results and the bytes sent of the ranks of these hosts."""

    def rank(world):
        slow = Slow(world, latency, seconds_per_byte)
        return measure_network(slow, hosts), slow.sent

    return zip(*run_ranks(len(hosts), rank), strict=True)


@pytest.mark.parametrize("hosts", [["a", "a", "b", "b"], ["a", "b", "a", "b"], ["a", "b", "c"]])
def test_what_a_network_takes(hosts):
    """All ranks know latency and bandwidth; only the first ranks of pairs of nodes send long messages."""
    found, sent = measured(hosts)

    assert len(set(found)) == 1
    assert 1e-4 <= found[0].latency < 1e-3
    assert 0.9e-8 <= found[0].seconds_per_byte < 5e-8
    assert [count > network.CHUNK for count in sent] == [rank == 0 for rank in range(len(hosts))]
    assert str(found[0]).endswith("Gb/s between nodes")


def test_one_node_has_no_network():
    """On one node nothing is sent and nothing is known."""
    found, sent = measured(["a", "a", "a"])

    assert [*found, *sent] == [None] * 3 + [0] * 3


def test_a_very_slow_network_is_asked_once(monkeypatch):
    """Where the first long message takes longer than the bound, no other follows."""
    monkeypatch.setattr(network, "SLOW", 1e-3)
    found, sent = measured(["a", "b"])

    assert network.CHUNK < sum(sent) < 2 * network.CHUNK
    assert found[0].seconds_per_byte >= 0.9e-8
