"""The benchmark of the memory on a node runs, and its numbers are of the right order even on a busy machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from runs import CHECKOUT, run_python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.mpi
@pytest.mark.slow
def test_quick(tmp_path: Path) -> None:
    """Two ranks hold 100 MiB once, and stream 600 MiB under a limit that a copy a rank would break."""
    words = ["--quick", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, CHECKOUT / "benchmarks" / "node_memory.py", *words, timeout=200)
    found = json.loads((tmp_path / "results.json").read_text())

    assert done.returncode == 0, done.stdout + done.stderr
    assert 90 < found["taken"]["2"] < 170
    assert 0 < found["streamed"] < 150


def test_loading_quick(tmp_path: Path) -> None:
    """The benchmark of batches measures both ways of reading."""
    words = ["--quick", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, CHECKOUT / "benchmarks" / "loading.py", *words, timeout=60)
    (found,) = json.loads((tmp_path / "results.json").read_text())

    assert done.returncode in {0, 1}, done.stderr  # whether the bar is met is for a machine that does nothing else
    assert 0.05 < found["streaming"] < 5
    assert 0.05 < found["in memory"] < 20
