from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
SUBMISSIONS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if "--array" in line
]


@pytest.mark.parametrize("command", SUBMISSIONS)
def test_the_sweeps_of_the_page_can_be_submitted(command: str) -> None:
    """Each sweep passes every check and becomes a job array with a point for each combination of values."""
    words = [*shlex.split(command), "--dry-run"]
    result = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    points = 6 if "seed" in command else 2

    assert result.returncode == 0, result.stderr
    assert f"#SBATCH --array=0-{points - 1}" in result.stdout
