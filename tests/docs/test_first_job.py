"""Follows the tutorial: its files, its commands and its last script, in the order of the page."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/first_job.md").read_text(encoding="utf-8")
DATA, MODEL, LOADING = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
JOB, SHARED = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
FIRST, SECOND = [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]


def said(folder: Path, *words: str) -> str:
    """Returns the output of a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the reader after steps 1 to 3; the data are written twice, as by a reader who tries again."""
    for _ in range(2):
        said(tmp_path, "-c", DATA)
    (tmp_path / "my_model.py").write_text(MODEL)
    (tmp_path / "mine.yaml").write_text(JOB)
    return tmp_path


@pytest.mark.slow
@pytest.mark.mpi
def test_the_tutorial_can_be_followed(folder: Path) -> None:
    """Each command ends well, the second run has the shared encoder, and the last script loads it."""
    for command in FIRST:
        said(folder, "-m", *shlex.split(command))
    with (folder / "mine.yaml").open("a") as file:
        file.write(SHARED)
    told = {command: said(folder, "-m", *shlex.split(command)) for command in SECOND}

    assert "6 of 6 tasks complete" in told["hpcmtl run mine.yaml"]
    assert "mine: complete" in told["hpcmtl status mine"]
    assert "layer=both/" in told["hpcmtl logs mine --task both"]
    assert "6 of 6 tasks complete" in told["hpcmtl resume mine"]
    assert said(folder, "-c", LOADING).splitlines()[-2:] == ["(10, 2)", "(10, 16)"]
