"""The benchmark of the exchange runs, and what it measures is of the right order even on a busy machine."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING

import pytest
from runs import CHECKOUT, run_python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.mpi
@pytest.mark.slow
def test_quick(tmp_path: Path) -> None:
    """Seven ways from group to group, at two sizes: memory is quicker than files, messages nearly as quick as raw."""
    words = ["--quick", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, CHECKOUT / "benchmarks" / "exchange.py", *words, timeout=200)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]

    assert done.returncode in {0, 1}, done.stderr  # whether the bar is met is for a machine that does nothing else
    assert "an array moves from group to group" in done.stdout
    assert len(rows) == 14
    assert all(median(row["ours"]) < median(row["file"]) for row in rows), rows
    assert median(row["ratio"] for row in rows) > 0.4, rows
