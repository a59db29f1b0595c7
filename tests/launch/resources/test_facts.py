"""Facts that a rank finds around it."""

import os
import subprocess
import sys

import pytest

from hpcmtl.launch.resources.facts import rank_facts, visible_gpus, waits_for_disk


def test_facts_of_this_process(tmp_path):
    """Cores, memory and room are those of this machine, also for a directory that is yet to be made."""
    facts = rank_facts(tmp_path / "to" / "be" / "made")

    assert set(facts.cores) == os.sched_getaffinity(0)
    assert 0 < facts.memory_available <= facts.memory_total
    assert 0 < facts.memory <= facts.memory_total
    assert facts.runs_free > 0
    assert facts.scratch_free > 0


@pytest.mark.parametrize(
    ("wanted", "count"), [(None, 3), ("", 0), ("-1", 0), ("0,2", 2), ("0,-1,2", 1), ("0,1,2,3", 3), ("GPU-8b1f", 1)]
)
def test_gpus_by_the_driver(tmp_path, wanted, count):
    """The driver lists what is there, and CUDA_VISIBLE_DEVICES what of it may be used."""
    for number in range(3):
        (tmp_path / f"0000:0{number}:00.0").mkdir()

    assert visible_gpus({} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted}, tmp_path) == count


@pytest.mark.parametrize(
    ("script", "count"),
    [("echo 'GPU 0: A'; echo 'GPU 1: A'", 2), ("echo 'no driver'; exit 9", 0), ("exec sleep 60", 0)],
)
def test_gpus_by_smi(tmp_path, monkeypatch, script, count):
    """Without the driver's list nvidia-smi is asked, and not for long."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("hpcmtl.launch.resources.facts.SMI_SECONDS", 0.5)

    assert visible_gpus({}, tmp_path / "nothing") == count


def test_processes_that_do_not_wait_for_a_disk():
    """A process that computes does not wait for a disk, and neither does one that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert not waits_for_disk(os.getpid())
    assert not waits_for_disk(ended.pid)
