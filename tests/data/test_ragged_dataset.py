"""Ragged datasets of data files: written, described, read, checked and batched; damage is refused with its name."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from malformed import mangled_bytes

from hpcmtl.data import seal, sequences_of
from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.describing import check_file, describe_file, report_lines
from hpcmtl.data.fingerprint import fingerprint_of
from hpcmtl.data.hdf5 import describe, write_dataset_file
from hpcmtl.data.labels import read_labels
from hpcmtl.data.padding import make_padding
from hpcmtl.data.reader import open_array
from hpcmtl.data.sequential import sequential_batches
from hpcmtl.data.sources import Source
from hpcmtl.data.values import summary_of
from hpcmtl.errors import InputError

SAMPLES = 41
IN_MEMORY, FROM_DISC = 1 << 30, 0


def words(samples: int = SAMPLES) -> list:
    """Returns samples of 0 to 9 tokens."""
    generator = np.random.default_rng(8)
    return [generator.integers(1, 30, length) for length in generator.integers(0, 10, samples)]


@pytest.fixture
def file(tmp_path):
    """A file of words and of their tags, of one length with them."""
    tokens = words()
    arrays = {"word": sequences_of(tokens), "tag": sequences_of([each % 3 for each in tokens]), "y": np.arange(SAMPLES)}
    write_dataset_file(
        tmp_path / "words.h5", arrays, np.arange(SAMPLES) % 5 // 3, {"tag": {"classes": ["a", "b", "c"]}}
    )
    return tmp_path / "words.h5"


def test_layout_and_description(file):
    """A group holds values and offsets; the file describes the longest sample, and the lengths as a dataset."""
    known = describe(file).datasets
    with h5py.File(file) as stored:
        offsets, values = stored["word/offsets"][()], stored["word/values"][()]

    assert offsets.tolist() == np.cumsum([0, *map(len, words())]).tolist()
    assert values.tolist() == np.concatenate(words()).tolist()
    assert (known["word"].shape, known["word"].ragged, known["word"].bytes) == ((9,), True, values.nbytes)
    assert (known["word_length"].shape, known["word_length"].ragged) == ((), False)


def test_reading(file):
    """Readers give rows with padding in any order, and lengths; summaries know real values alone."""
    chosen = np.array([30, 3, 4, 17])
    with open_array(file, "word") as reader:
        rows = reader.rows(chosen, lambda: None)
    with open_array(file, "word_length") as reader:
        lengths = reader.exact()
    summary = summary_of(file, "word")
    everything = np.concatenate(words())

    assert lengths.tolist() == [len(each) for each in words()]
    for row, number in zip(rows, chosen, strict=True):
        assert row.tolist() == [*words()[number], *[0] * (9 - lengths[number])]
    assert (summary.smallest[1], summary.largest[1]) == (everything.min(), everything.max())
    assert words()[summary.largest[0]].max() == everything.max()


def test_more_than_a_chunk(tmp_path):
    """Values of several chunks, from several blocks, come back whole."""
    samples = [np.full(1 + number % 7, number, np.float64) for number in range(100_000)]
    write_dataset_file(tmp_path / "many.h5", {"x": sequences_of(samples)}, np.zeros(100_000, int))
    with open_array(tmp_path / "many.h5", "x") as reader:
        rows = reader.read(99_990, 100_000)

    assert check_file(tmp_path / "many.h5", lambda *_: None)[1] == []
    assert [row[0] for row in rows] == list(range(99_990, 100_000))
    assert [np.count_nonzero(row) for row in rows] == [1 + number % 7 for number in range(99_990, 100_000)]


def test_description_for_people(file):
    """`describe` counts classes without padding and shows samples without it; the checksums are right."""
    found = {each.name: each for each in describe_file(file, lambda *_: None).arrays}
    tags = np.concatenate(words())[np.repeat(np.arange(SAMPLES) % 5 // 3 == 0, [*map(len, words())])] % 3
    lines = "\n".join(report_lines(describe_file(file, lambda *_: None)))

    assert list(found["tag"].class_counts["train"].values()) == np.bincount(tags, minlength=3).tolist()
    assert found["word"].first[0] == " ".join(str(words()[0]).split())
    assert "sequences of up to 9 values, no chunks" in lines
    assert check_file(file, lambda *_: None) == (6, [])


def _shift(file):
    file["word/offsets"][2] += 1


def _fall(file):
    file["word/offsets"][3] = 99


def _value(file):
    file["word/values"][4] += 1


def _cut(file):
    file["word/values"].resize(5, axis=0)


def _text(file):
    del file["word/values"]
    file["word/values"] = [b"a", b"b"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_shift, "do not match their checksum"),
        (_fall, "the offset after sample 3 is"),
        (_value, "do not match their checksum"),
        (_cut, "but there are 5 values"),
        (_text, "has no values that are numbers"),
    ],
)
def test_damage(file, damage, said):
    """Other offsets and values are found, by the name of the dataset, and the fingerprint knows them."""
    before = fingerprint_of(file).arrays["word"]
    with h5py.File(file, "r+") as stored:
        damage(stored)
    _, problems = check_file(file, lambda *_: None)

    assert any("word" in each.where and said in each.message for each in problems), problems
    if said == "do not match their checksum":
        assert fingerprint_of(file).arrays["word"] == before  # that of the attribute; the values are read and compared
    else:
        with pytest.raises(InputError, match=said):
            fingerprint_of(file)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": sequences_of([[], []])}, r"shape \(2, 0\) is empty"),
        ({"x": sequences_of([[1.0], [2.0, np.nan]])}, "sample 1 holds NaN"),
        ({"x": sequences_of([[0], [1, 7]])}, "sample 1 has label 7"),
        ({"x": sequences_of([[0]])}, "1 samples, but split has 2"),
        ({"x": sequences_of([[0], [1]]), "x_length": np.zeros(2)}, "is the name of the lengths of x"),
    ],
)
def test_refused_when_written(tmp_path, arrays, said):
    """No file is written of what cannot be trained on; the sample is named."""
    attributes = {"x": {"classes": ["a", "b"]}} if "label" in said else {}
    with pytest.raises(InputError, match=said):
        write_dataset_file(tmp_path / "bad.h5", arrays, [0, 1], attributes)

    assert not (tmp_path / "bad.h5").exists()


def sources_of(file) -> tuple[Source, ...]:
    """Returns padded sources of the words and their tags."""
    made = [Source(key, file, key) for key in ("word", "tag")]
    return tuple(Source(each.key, file, each.key, padding=make_padding(each.lengths(), [3, 6])) for each in made)


@pytest.mark.parametrize("budget", [IN_MEMORY, FROM_DISC])
def test_batches_of_any_number_of_ranks(file, budget):
    """Ranks share the samples and the length of each batch, which is a bucket; labels count real places alone."""
    sources = sources_of(file)
    labels = {"tag": read_labels(sources[1], None, None, None, np.flatnonzero(np.arange(SAMPLES) % 5 // 3 == 0))}
    spec = BatchSpec(sources, 3, memory_budget=budget, labels=labels)
    seen = []
    for ranks in (1, 2, 3, 4):
        shares = []
        for rank in range(ranks):
            with Batches(spec, Cursor(0, 0, 5), Cursor(1, 0, 5), rank, ranks) as batches:
                shares.append(list(batches))
        whole = []
        for step in zip(*shares, strict=True):
            real = [each for each in step if not each.filler]
            rows = np.concatenate([each.arrays["word"] for each in real])
            factors = np.concatenate([each.label_weights["tag"] for each in real])
            numbers = np.concatenate([each.indices for each in real])
            lengths = np.array([len(words()[number]) for number in numbers])
            whole.append((numbers.tolist(), rows.tolist()))

            assert {each.arrays["word"].shape[1] for each in step} == {min(b for b in (3, 6, 9) if b >= lengths.max())}
            for row, number in zip(rows, numbers, strict=True):
                assert row[: len(words()[number])].tolist() == words()[number].tolist()
            # The mean over the real places of the group: factors / (samples * places a sample) are all 1 / places.
            shares_of_mean = factors / (len(rows) * rows.shape[1])
            np.testing.assert_allclose(shares_of_mean[shares_of_mean > 0], 1 / max(lengths.sum(), 1), rtol=1e-5)
            assert (shares_of_mean > 0).sum() == lengths.sum()
        seen.append(whole)

    assert all(each == seen[0] for each in seen)


def test_sequential_batches(file):
    """Samples in stored order have the length of the bucket of their own batch."""
    with sequential_batches(sources_of(file), ["train", "val"], 4, 0, 1) as batches:
        found = [(numbers, arrays["word"]) for numbers, arrays in batches]

    for numbers, rows in found:
        longest = max(len(words()[number]) for number in numbers)
        assert rows.shape[1] == min(each for each in (3, 6, 9) if each >= longest)
    assert np.concatenate([numbers for numbers, _ in found]).tolist() == list(range(SAMPLES))


def test_texts_of_variable_length(tmp_path):
    """`length: variable` stores the tokens of each text and no padding."""
    texts = ["a b c", "", "c c", "z"]
    recipe = {
        "columns": {"text": {"kind": "tokens", "by": "words", "length": "variable"}},
        "split": {"by": "column", "column": "part"},
    }
    table = {"text": np.array(texts), "part": np.array(["train", "train", "train", "test"])}
    plan = seal(tmp_path / "texts.h5", table, recipe | {"columns": {**recipe["columns"], "part": "skip"}})
    classes = describe(tmp_path / "texts.h5").datasets["text"].classes
    with h5py.File(tmp_path / "texts.h5") as file:
        stored, offsets = file["text/values"][()], file["text/offsets"][()]

    assert [classes[code] for code in stored] == ["a", "b", "c", "c", "c", "<unknown>"]
    assert offsets.tolist() == [0, 3, 3, 5, 6]
    assert plan.outputs.keys() == {"text"}
    with pytest.raises(InputError, match="write a whole number from 1 to 100000, or variable"):
        seal(tmp_path / "other.h5", table, {"columns": {"text": {"kind": "tokens", "length": "any"}}})


def test_sealed_from_arrays(tmp_path):
    """`seal` stores sequences beside columns of any kind, block by block; what a network cannot take is refused."""
    samples = [np.full((1 + number % 3, 2), number, np.float32) for number in range(50_000)]
    plan = seal(tmp_path / "made.h5", {"series": sequences_of(samples), "kind": np.array(["a", "b"] * 25_000)})
    with open_array(tmp_path / "made.h5", "series") as reader:
        rows = reader.read(49_998, 50_000)

    assert plan.rules["series"].kind == "sequence"
    assert rows.tolist() == [[[49_998] * 2, [0, 0], [0, 0]], [[49_999] * 2, [49_999] * 2, [0, 0]]]
    assert check_file(tmp_path / "made.h5", lambda *_: None)[1] == []
    for series, rule, said in (
        (sequences_of([[1.0], [2.0, np.inf]]), "sequence", "row 2 holds NaN or Inf"),
        (sequences_of([[1], [2, 5]]), {"kind": "sequence", "classes": ["a", "b", "c"]}, "row 2 holds 5"),
        (sequences_of([[1], [2]]), "numeric", "write `kind: sequence`"),
        (np.arange(2), "sequence", "is no sequence"),
        (sequences_of([[], []]), "sequence", "is empty"),
    ):
        with pytest.raises(InputError, match=said):
            seal(tmp_path / "bad.h5", {"x": series, "y": np.arange(2.0)}, {"columns": {"x": rule}})


def rows_or_refusal(file) -> np.ndarray | str:
    """Returns the padded words of a file, or why it is refused."""
    try:
        _, problems = check_file(file, lambda *_: None)
        with open_array(file, "word") as reader:
            return ", ".join(map(str, problems)) or reader.exact()
    except InputError as error:
        return str(error)


def test_mangled_files(file):
    """A file with changed bytes is refused by its name, or its values are those that were written."""
    content, found = file.read_bytes(), []
    for number in range(80):
        file.write_bytes(mangled_bytes(content, number))
        found.append(rows_or_refusal(file))
    refused = [each for each in found if isinstance(each, str)]

    assert len(refused) > 20
    assert all(str(file) in each for each in refused)
    assert all(np.array_equal(each, sequences_of(words()).padded()) for each in found if not isinstance(each, str))
