"""Follows the page on memory and disks of nodes: its script, its job and its commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / "docs/guides/nodes.md").read_text(encoding="utf-8")
(SCRIPT,), (JOB,), (COMMANDS,) = (
    re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "yaml", "sh")
)


@pytest.mark.mpi
def test_the_page_leads_to_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job completes, and says that the node has copied the data file to its folder for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "make_shades.py").write_text(SCRIPT)
    (tmp_path / "shades.yaml").write_text(JOB)
    said = ""
    for line in COMMANDS.splitlines():
        program, *words = shlex.split(line)
        command = [sys.executable, *([] if program == "python" else ["-m", program]), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout + done.stderr

    assert "1 of 1 task complete" in said
    assert "shades.h5 is copied to" in said
