"""Ranks probe themselves together: on threads with made-up paces, and under mpirun beside a process that spins."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.launch.resources.facts import rank_facts
from hpcmtl.launch.resources.pace import Pace
from hpcmtl.pipeline.run.probe import CHECKS, probe

SLOWED = """
import json, threading
from pathlib import Path

from hpcmtl.communicators.mpi import world as mpi_world
from hpcmtl.pipeline.run.probe import probe

world = mpi_world()
over = threading.Event()

def spin():
    while not over.is_set():
        pass

hogs = [threading.Thread(target=spin) for _ in range(4 if world.rank == 1 else 0)]
for hog in hogs:
    hog.start()
facts = probe(world, Path.cwd())
over.set()
if world.rank == 0:
    print(json.dumps([facts.rank_speed, facts.node, len(facts.ranks[1].cores)]))
"""


class Cores:
    """Paces of ranks, some of which are slow the first time or always; alone they are twice as fast."""

    def __init__(self, slow=(), slow_once=()):
        self.slow, self.slow_once = set(slow), set(slow_once)
        self.asked = {}
        self.lock = threading.Lock()

    def pace_of(self, rank):
        """Returns the function with which `probe` measures on a rank."""

        def pace():
            with self.lock:
                self.asked[rank] = count = self.asked.get(rank, 0) + 1
            slow = rank in self.slow or (rank in self.slow_once and count == 1)
            return Pace((50.0,) if slow else (100.0,), (100.0,), 8e10)

        return pace


def on(ranks, cores, hosts="a"):
    """Probe on threads, four cores a node."""

    def run(world):
        def look(runs):
            return replace(rank_facts(runs), host=hosts[world.rank % len(hosts)], cores=(0, 1, 2, 3))

        return probe(world, Path.cwd(), look, cores.pace_of(world.rank))

    return run_ranks(ranks, run)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_all_know_the_same(ranks):
    """Every rank has the facts of all; equal ranks are measured together once, and the first of a node alone."""
    cores = Cores()
    found = on(ranks, cores)

    assert found == [found[0]] * ranks
    assert found[0].rank_speed == (1.0,) * ranks
    assert found[0].efficiency == 1.0
    assert found[0].flops == 8e10
    assert cores.asked == {rank: 2 if rank == 0 else 1 for rank in range(ranks)}


def test_every_node_has_one_alone():
    """Of ranks that are dealt to two nodes, the first two are the first of theirs."""
    cores = Cores()
    facts = on(4, cores, "ab")[0]

    assert facts.node == (0, 1, 0, 1)
    assert cores.asked == {0: 2, 1: 2, 2: 1, 3: 1}


def test_a_slow_rank_is_measured_again():
    """Slow once is forgiven; always slow is slow."""
    passing, lasting = Cores(slow_once={2}), Cores(slow={2})

    assert on(4, passing)[0].rank_speed == (1.0, 1.0, 1.0, 1.0)
    assert on(4, lasting)[0].rank_speed == (1.0, 1.0, 0.5, 1.0)
    assert passing.asked[1] == 2
    assert lasting.asked[1] == 1 + CHECKS


def test_given_speeds_are_taken(monkeypatch):
    """Speeds that the user gave are not measured over."""
    monkeypatch.setenv("HPCMTL_RANK_SPEED", "1:0.25")
    cores = Cores(slow={2})
    facts = on(3, cores)[0]

    assert facts.given
    assert facts.rank_speed == (1.0, 0.25, 1.0)
    assert cores.asked[1] == 1


@pytest.mark.slow
def test_a_busy_rank_is_slow(mpirun, tmp_path):
    """On real ranks, the one whose interpreter other threads keep busy is the slow one."""
    program = tmp_path / "slowed.py"
    program.write_text(SLOWED)
    result = mpirun(2, program, timeout=60)

    assert result.returncode == 0, result.stderr
    (fast, slow), node, _ = json.loads(result.stdout)
    assert fast == 1.0
    assert slow < fast  # those that are even all have 1
    assert node == [0, 0]
