"""The example in docs/data_format.md is run."""

from __future__ import annotations

from pathlib import Path

from hpcmtl.data.hdf5 import describe
from hpcmtl.data.values import check_finite

PAGE = Path(__file__).parents[2] / "docs" / "data_format.md"


def test_conversion_of_own_data(tmp_path, monkeypatch):
    """The commands of the page make a valid file."""
    monkeypatch.chdir(tmp_path)
    _, block, *_ = PAGE.read_text(encoding="utf-8").split("```")
    exec(block.removeprefix("python"), {})  # noqa: S102  # our own page
    description = describe("spectra.h5")

    assert description.samples == 1200
    assert description.datasets["kind"].classes == ("star", "galaxy", "quasar")
    check_finite("spectra.h5", description.datasets)
