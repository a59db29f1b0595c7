"""An installed hpcmtl has the scripts that it needs beside its modules."""

import re
import runpy
from pathlib import Path

import setuptools

import hpcmtl

ROOT = Path(hpcmtl.__file__).parents[1]


def test_installed_launchers_find_what_they_source(monkeypatch):
    """Each script that an installed launcher sources, or starts ranks by, is installed beside it."""
    given = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    files = {Path(file).name for folder, names in given["data_files"] for file in names if "launchers" in folder}
    needed = {
        name
        for file in files
        if (ROOT / "launchers" / file).suffix == ".sh"
        for name in re.findall(r"/([a-z_]+\.sh)\b", (ROOT / "launchers" / file).read_text(encoding="utf-8"))
    }

    assert {"mpirun.sh", "srun.sh", "stage.sh"} <= files
    assert needed - {"bootstrap.sh"} <= files  # which messages name, and which sets up a checkout
