"""Facts that a rank finds around it."""

import os
import subprocess
import sys

from hpcmtl.launch.resources.facts import rank_facts, waits_for_disk


def test_facts_of_this_process(tmp_path):
    """Cores, memory and room are those of this machine, also for a directory that is yet to be made."""
    facts = rank_facts(tmp_path / "to" / "be" / "made")

    assert set(facts.cores) == os.sched_getaffinity(0)
    assert 0 < facts.memory_available <= facts.memory_total
    assert 0 < facts.memory <= facts.memory_total
    assert facts.runs_free > 0
    assert facts.scratch_free > 0
    assert facts.local_rank is None


def test_the_local_rank_is_the_launchers(tmp_path, monkeypatch):
    """It comes from the variables of the launcher that started the process."""
    for name, value in {"RANK": "5", "SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)

    assert rank_facts(tmp_path).local_rank == 1


def test_processes_that_do_not_wait_for_a_disk():
    """A process that computes does not wait for a disk, and neither does one that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert not waits_for_disk(os.getpid())
    assert not waits_for_disk(ended.pid)
