"""Follows the example of the page on PyTorch: its files, its commands and its last script."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcmtl.exchange.store import seal

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/pytorch.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("## A complete example")[2].partition("\n## ")[0]
DATA, MODEL, LOADING = re.findall(r"```python\n(.*?)```", EXAMPLE, re.DOTALL)
(JOB,) = re.findall(r"```yaml\n(.*?)```", EXAMPLE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", EXAMPLE, re.DOTALL) for line in block.splitlines()]
TO_MODULES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/artifacts.md").read_text(), re.DOTALL)[-2:]


def said(folder: Path, *words: str) -> str:
    """Returns the output of a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.mpi
def test_the_example_can_be_followed(tmp_path: Path) -> None:
    """The network learns on two ranks, and a plain module with its parameters gives the same outputs."""
    said(tmp_path, "-c", DATA)
    (tmp_path / "rings_net.py").write_text(MODEL)
    (tmp_path / "rings.yaml").write_text(JOB)
    output = [said(tmp_path, "-m", *shlex.split(command)) for command in COMMANDS][-1]

    assert "2 of 2 tasks complete" in output
    assert float(re.findall(r"inside_test .*accuracy ([\d.]+)", output)[-1]) > 0.9
    assert said(tmp_path, "-c", LOADING).splitlines()[-1] == "True"


def test_artifacts_fit_plain_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters of a train task, and without their prefixes those of a joint task, go to modules of one's own."""
    import torch

    import hpcmtl

    arrays = {
        "trunk.0.weight": np.full((2, 3), 1, np.float32),
        "trunk.0.bias": np.full(2, 2, np.float32),
        "heads.digit.weight": np.full((4, 2), 3, np.float32),
        "heads.digit.bias": np.full(4, 4, np.float32),
        "heads.other.bias": np.full(4, 5, np.float32),
    }
    (tmp_path / "artifacts").mkdir()
    seal(tmp_path / "artifacts/joint.h5", {f"parameters/{name}": each for name, each in arrays.items()}, {})
    alone = {"parameters/weight": np.full((5, 2), 6, np.float32), "parameters/bias": np.full(5, 7, np.float32)}
    seal(tmp_path / "artifacts/digit.h5", alone, {})
    monkeypatch.chdir(tmp_path)
    net, encoder, head = torch.nn.Linear(2, 5), torch.nn.Sequential(torch.nn.Linear(3, 2)), torch.nn.Linear(2, 4)
    known = {"hpcmtl": hpcmtl, "h5py": h5py, "torch": torch, "net": net, "encoder": encoder, "head": head}
    for snippet in TO_MODULES:
        exec(snippet, known)  # noqa: S102 - of the page

    found = [*net.parameters(), *encoder.parameters(), *head.parameters()]
    assert [float(each.detach().mean()) for each in found] == [6, 7, 1, 2, 3, 4]
