"""The benchmark that evaluates and then broadcasts, short: no run may die, and the report says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
PROGRAM = CHECKOUT / "benchmarks" / "stress_layout.py"


@pytest.mark.mpi
@pytest.mark.slow
def test_a_short_run_passes(tmp_path):
    """Two runs, on 2 and on 4 ranks: exit code 0, a table on stdout and the same in JSON."""
    report = tmp_path / "report.json"
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--runs", "2", "--quick", "--json", str(report)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    found = json.loads(report.read_text())

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 runs passed" in done.stdout
    assert (found["passed"], found["failed"], found["upstream"]) == (2, 0, False)
    assert [(row["ranks"], row["runs"]) for row in found["rows"]] == [(2, 1), (4, 1)]


def test_nonsense_is_refused():
    """A number of ranks that has no groupings is refused before anything runs."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--ranks", "5"], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 2
    assert "--ranks some of 2, 3, 4" in done.stderr
