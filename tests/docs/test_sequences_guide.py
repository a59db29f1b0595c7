"""Follows the guide on sequences: its scripts, its commands and its job, in the order of the page."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpcmtl.data.hdf5 import describe
from hpcmtl.data.reader import open_array

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / "docs/guides/sequences.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(JOB,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def said(folder: Path, *words: str) -> str:
    """Returns the output of a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.mpi
def test_the_page_from_the_table_to_the_results(tmp_path: Path) -> None:
    """The parts of speech are learned, their scores are a ragged array, and the vocabulary is as the page says."""
    pytest.importorskip("torch")
    said(tmp_path, "-c", SCRIPTS[0])
    (tmp_path / "orders.yaml").write_text(JOB)
    for command in "".join(COMMANDS).splitlines():
        said(tmp_path, "-m", *shlex.split(command))
    (run,) = tmp_path.glob("runs/orders-*")
    metrics = json.loads((run / "results.json").read_text())["tasks"]
    known = describe(tmp_path / "orders.h5").datasets
    with open_array(run / "artifacts/found.h5", "main_length") as reader:
        lengths = reader.exact()
    with open_array(tmp_path / "orders.h5", "sentence_length") as reader:
        assert np.array_equal(reader.exact(), lengths)

    assert (len(known["sentence"].classes or ()), len(known["parts"].classes or ())) == (13, 6)
    assert known["sentence"].ragged
    assert metrics["kind"]["metrics"]["val_accuracy"] > 0.6
    assert metrics["test"]["metrics"]["accuracy"] > 0.9


def test_sequences_of_arrays(tmp_path: Path) -> None:
    """The last script writes vectors of two measurements, of up to 19 each."""
    said(tmp_path, "-c", SCRIPTS[1])
    known = describe(tmp_path / "series.h5").datasets["series"]

    assert (known.shape, known.ragged) == ((19, 2), True)
