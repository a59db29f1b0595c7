"""The job of the page on memory and disks of nodes passes every check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from hpcmtl.data.hdf5 import write_dataset_file

PAGE = (Path(__file__).resolve().parents[2] / "docs/guides/nodes.md").read_text(encoding="utf-8")
(JOB,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_job_of_the_page_is_sound(tmp_path: Path) -> None:
    """The job file with both keys is accepted with a data file that it describes."""
    (tmp_path / "job.yaml").write_text(JOB)
    arrays = {"x": np.zeros((20, 4), np.float32), "y": np.arange(20) % 2}
    write_dataset_file(tmp_path / "shades.h5", arrays, np.arange(20) % 3)
    command = [sys.executable, "-m", "hpcmtl", "validate", "job.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
