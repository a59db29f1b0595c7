"""The benchmark of the planner runs, checks every plan, and finds ours not worse than the best published one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from runs import CHECKOUT, run_python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.timeout(900)  # most of it is one process that computes, on a machine that does other tests as well
def test_quick(tmp_path: Path) -> None:
    """On small forms of the published grid and of real shapes bounds hold, and the best of the others is beaten."""
    words = ["--quick", "--only", "grid", "work", "noise", "families", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, CHECKOUT / "benchmarks" / "planner.py", *words, timeout=580)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())

    for row in results["grid"] + results["work"]:
        assert row["/LB"] >= 1
        assert row["ours/best other"] <= 1.02, row
    for row in results["families"]:
        assert row["/LB"] >= 1
        assert row["most /before"] <= 1 + 1e-9, row
    for row in results["noise"]:
        assert row["loss: new widths"] <= row["loss: old widths"], row
