"""The check of GPUs says where there are none, and its program runs; what it finds on a GPU no test can know here."""

import os
import subprocess
import sys

import pytest
from patience import PATIENCE
from runs import CHECKOUT

pytestmark = pytest.mark.slow


def checked(*words, **environ):
    """Runs the program."""
    command = [sys.executable, str(CHECKOUT / "benchmarks" / "gpu_check.py"), *words]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=280 * PATIENCE, check=False)


def test_a_machine_without_gpus():
    """Nothing is checked, this is said, and the exit code is none of a check."""
    pytest.importorskip("torch")
    done = checked(CUDA_VISIBLE_DEVICES="")

    assert done.returncode == 3, done.stderr
    assert "nothing was checked: this machine has no GPU" in done.stdout


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.timeout(750)
def test_a_rehearsal():
    """The whole program runs on the CPU, says that it uses no GPU, and meets the bounds that hold anywhere."""
    pytest.importorskip("torch")
    done = checked("--rehearse", "--steps", "5")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rehearsal on the CPU, no GPU is used" in done.stdout
    assert done.stdout.count("\nmet ") == 9
    assert "MISSED" not in done.stdout
