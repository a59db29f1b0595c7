"""Reports on data files, in words and as a page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import hpcmtl.data
from hpcmtl.data.describing import check_file, describe_file, report_lines
from hpcmtl.data.describing_page import page_of, picture_url
from hpcmtl.data.hdf5 import write_dataset_file


@pytest.fixture
def report(tmp_path):
    """A file with images, labels with holes, and texts."""
    images = np.random.default_rng(0).integers(0, 255, (30, 3, 8, 8), dtype=np.uint8)
    labels = [None if n % 10 == 0 else "<b>" if n % 2 else "&c" for n in range(30)]
    columns = {"y": {"kind": "categorical", "missing": "mask"}, "t": "tokens", "part": "skip"}
    part = np.arange(30) % 3
    arrays = {"images": images, "y": labels, "t": [f"see {n % 3} cats" for n in range(30)], "part": part}
    hpcmtl.data.seal(tmp_path / "f.h5", arrays, {"columns": columns, "split": {"by": "column", "column": "part"}})
    return describe_file(tmp_path / "f.h5", lambda stage, done: None)


def test_counts_ranges_and_missing_labels(report):
    """Classes are counted by split, missing labels by their mask, tokens are shown as text."""
    arrays = {each.name: each for each in report.arrays}

    assert report.splits == {"train": 10, "val": 10, "test": 10}
    assert sum(sum(counts.values()) for counts in arrays["y"].class_counts.values()) == 30
    assert arrays["y"].missing == 3
    assert arrays["t"].first[1] == "see 1 cats" or "<unknown>" in arrays["t"].first[1]
    assert (arrays["images"].low, arrays["images"].high) == (0, 254)
    assert any("3 missing" in line for line in report_lines(report))


def test_the_page_escapes_what_is_in_the_file(report):
    """Class names cannot be markup of the page; images are small pictures."""
    page = page_of(report)

    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("data:image/png") == 8


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_exact(channels):
    """The PNG holds the pixels, as Pillow reads it."""
    pixels = np.random.default_rng(1).integers(0, 255, (channels, 5, 7), dtype=np.uint8)
    content = base64.b64decode(picture_url(pixels).partition(",")[2])
    found = np.asarray(Image.open(io.BytesIO(content)))

    assert np.array_equal(found if channels == 3 else found[..., None], np.moveaxis(pixels, 0, -1))


def test_a_check_reports_how_far_it_is(wide_file):
    """The share grows with each block, up to 1."""
    shares = []
    arrays, problems = check_file(wide_file, lambda stage, done: shares.append(done))

    assert (arrays, problems) == (4, [])
    assert shares == sorted(shares)
    assert len(shares) > 10
    assert shares[-1] == 1.0


def test_declared_missing_values_are_counted(tmp_path):
    """Values that the attribute `missing` names are counted as missing, and are neither in the range nor NaN."""
    rng, split = np.random.default_rng(0), np.arange(60) % 3
    kind, size = np.arange(60) % 4 - 1, np.where(np.arange(60) < 7, np.nan, rng.random(60))
    missing = {"kind": {"missing": -1, "classes": ["a", "b", "c"]}, "size": {"missing": np.nan}}
    write_dataset_file(tmp_path / "rows.h5", {"kind": kind, "size": size, "x": kind}, split, missing)
    found = {each.name: each for each in describe_file(tmp_path / "rows.h5", lambda stage, done: None).arrays}

    assert [found[name].missing for name in ("kind", "size", "x")] == [15, 7, None]
    assert (found["kind"].low, found["kind"].high) == (0, 2)
    assert (found["size"].low, found["size"].not_finite) == (np.nanmin(size), 0)
    assert sum(found["kind"].class_counts["train"].values()) == (kind[split == 0] >= 0).sum()
