"""The benchmark of recovery runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from runs import CHECKOUT, run_python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quick(tmp_path: Path) -> None:
    """A checkpoint's cost, and its rate beside h5py's; kills are tested in `test_resume` and `test_resumed`."""
    words = ["--quick", "--only", "cost", "writing", "--json", str(tmp_path / "results.json")]
    done = run_python(tmp_path, CHECKOUT / "benchmarks" / "recovery.py", *words, timeout=350)
    assert done.returncode in {0, 1}, done.stderr  # whether bars are met is for a machine that does nothing else
    found = json.loads((tmp_path / "results.json").read_text())

    assert found["cost"]["checkpoints"] > 0
    assert found["writing"]["ratio"] > 0.2
