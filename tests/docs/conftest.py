"""Data that the commands of the documents need."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def built_data() -> None:
    """Builds the data of the example where it is missing, as `launchers/local.sh` does."""
    # Each process of the suite comes here, and a builder refuses to write over what another one has just written.
    with (ROOT / "datasets/mnist5k.py").open() as builder:
        fcntl.flock(builder, fcntl.LOCK_EX)
        if not (ROOT / "data/mnist5k.h5").exists():
            subprocess.run([sys.executable, builder.name], check=True, cwd=ROOT, timeout=120)
