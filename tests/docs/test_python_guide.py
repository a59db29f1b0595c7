"""Runs the scripts of the page on runs in Python, one after the other, as its reader does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
@pytest.mark.mpi
def test_the_scripts_run(tmp_path: Path) -> None:
    """The first script trains and reads its run, and the second one finds that run by the name of its job."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    said = []
    for block in BLOCKS:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)

    assert said[0].startswith("complete {'val_accuracy': ")
    assert "in_features=784, out_features=64" in said[0]
    assert said[1].splitlines()[0].startswith("digit complete ")
    assert (tmp_path / "digit.csv").read_text().startswith("step,epoch,at,ends_epoch,")
