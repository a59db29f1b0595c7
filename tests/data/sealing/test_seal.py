"""Sealing of tables, arrays, images and text: the values in the file against numpy and pandas."""

import gzip
import threading

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import hpcmtl.data
from hpcmtl.data.hdf5 import describe
from hpcmtl.data.sealing import arrow_tables
from hpcmtl.data.sealing.seal import plan_seal
from hpcmtl.data.sealing.undo import to_units
from hpcmtl.data.values import check_finite
from hpcmtl.errors import InputError

ROWS = 400


def frame_of(rows=ROWS):
    """A table with a column of each type."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(50, 9, rows),
            "count": rng.integers(0, 9, rows),
            "cut": rng.choice(["fair", "good", "ideal"], rows),
            "day": pd.date_range("2020-01-01", periods=rows).strftime("%Y-%m-%d"),
            "text": [f"the cat sat {number % 70}" for number in range(rows)],
            "user": rng.integers(0, 40, rows),
            "part": rng.choice(["train", "val", "test"], rows),
            "price": rng.normal(1000, 200, rows),
            "kind": rng.choice(["a", "b"], rows),
        }
    )


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """The table as a CSV file, with the digits that give the same numbers again."""
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    frame_of().to_csv(path, index=False)
    return path


def read(path):
    """Returns the arrays of a file, after all its checks."""
    description = describe(path)
    check_finite(path, description.datasets)
    with h5py.File(path) as file:
        return {name: item[()] for name, item in file.items()}, {name: dict(item.attrs) for name, item in file.items()}


@pytest.mark.parametrize("form", ["csv", "gz", "parquet", "frame", "generator"])
def test_every_form_of_a_table_gives_the_same_file(tmp_path, csv, form):
    """CSV, compressed CSV, Parquet, a frame and a generator of rows have the same values after sealing."""
    frame, out, source = frame_of(), tmp_path / "out.h5", csv
    if form == "gz":
        source = tmp_path / "table.csv.gz"
        source.write_bytes(gzip.compress(csv.read_bytes()))
    elif form == "parquet":
        source = tmp_path / "table.parquet"
        frame.to_parquet(source)
    elif form == "frame":
        source = frame
    elif form == "generator":
        source = (row for row in frame.to_dict("records"))
    columns = {
        "size": "numeric",
        "count": "numeric",
        "cut": "one_hot",
        "day": "date",
        "text": {"kind": "tokens", "length": 5},
        "user": "skip",
        "part": "skip",
    }
    recipe = {"columns": columns, "targets": ["price", "kind"], "split": {"by": "column", "column": "part"}}
    recipe["columns"] |= {"price": {"kind": "numeric", "standardise": True, "dataset": "price"}, "kind": "categorical"}
    del recipe["columns"]["price"]["dataset"]
    hpcmtl.data.seal(out, source, recipe)
    arrays, attributes = read(out)
    train = (frame["part"] == "train").to_numpy()
    days = (pd.to_datetime(frame["day"]) - pd.Timestamp("1970-01-01")).dt.days

    assert arrays["split"].tolist() == frame["part"].map({"train": 0, "val": 1, "test": 2}).tolist()
    numbers = np.stack(
        [frame["size"], frame["count"], *(frame["cut"] == c for c in ("fair", "good", "ideal")), days], 1
    )
    assert list(attributes["inputs"]["columns"]) == ["size", "count", "cut=fair", "cut=good", "cut=ideal", "day"]
    standard = numbers.astype(float)
    for place in (0, 1, 5):
        standard[:, place] = (standard[:, place] - standard[train, place].mean()) / standard[train, place].std()
    assert np.allclose(arrays["inputs"], standard, atol=1e-5)
    assert np.allclose(to_units(out, "inputs", arrays["inputs"]), numbers, rtol=1e-4, atol=1e-3)
    assert np.allclose(to_units(out, "price", arrays["price"]), frame["price"], rtol=1e-5)
    assert arrays["kind"].tolist() == (frame["kind"] == "b").astype(int).tolist()
    assert arrays["text"].shape == (ROWS, 5)
    assert (arrays["text"][:, 4] == 0).all()
    assert arrays["text_length"].tolist() == [4] * ROWS


def test_a_table_alone_is_guessed(csv, tmp_path):
    """Without a recipe numbers, dates and few texts are inputs, sentences are tokens."""
    plan = hpcmtl.data.seal(tmp_path / "out.h5", csv, {"targets": ["kind", "price", "count"]})
    kinds = {name: rule.kind for name, rule in plan.rules.items()}

    assert kinds == {
        "size": "numeric",
        "count": "categorical",
        "cut": "one_hot",
        "day": "date",
        "text": "tokens",
        "user": "numeric",
        "part": "one_hot",
        "price": "numeric",
        "kind": "categorical",
    }
    assert sum(plan.split_sizes.values()) == ROWS
    assert set(describe(tmp_path / "out.h5").datasets) == {"inputs", "text", "text_length", "price", "kind", "count"}


SPLIT = np.arange(90) % 3
SMALL = {"part": SPLIT, "x": np.linspace(0, 1, 90), "word": np.array([f"w{n % 11}" for n in range(90)])}


@settings(
    max_examples=min(25, settings.default.max_examples),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(st.lists(st.floats(-1e6, 1e6), min_size=60, max_size=60), st.text("xyz", max_size=3))
def test_statistics_know_the_train_rows_alone(values, word):
    """Other values in val and test rows change neither mean nor deviation nor vocabulary nor a train row."""
    recipe = {
        "columns": {
            "x": {"kind": "numeric", "missing": "mean"},
            "word": {"kind": "categorical", "unknown": "code"},
            "text": "tokens",
        },
        "split": {"by": "column", "column": "part"},
    }
    given_ = SMALL | {"text": SMALL["word"]}
    changed = {name: array.copy() for name, array in given_.items()}
    changed["x"][SPLIT > 0] = values
    changed["word"][SPLIT > 0] = changed["text"][SPLIT > 0] = word
    before, after = plan_seal(given_, recipe), plan_seal(changed, recipe)

    for name in ("inputs", "word"):
        for key, value in before.outputs[name].attributes.items():
            assert np.array_equal(value, after.outputs[name].attributes[key])
    assert before.outputs["text"].attributes["classes"] == after.outputs["text"].attributes["classes"]


def test_strata_have_exact_shares(tmp_path):
    """A stratified split divides each class by the fractions."""
    labels = np.repeat(["a", "b"], [100, 300])
    split = {"by": "stratified", "column": "y", "fractions": [0.5, 0.25, 0.25]}
    hpcmtl.data.seal(tmp_path / "out.h5", {"x": np.arange(400.0), "y": labels}, {"split": split})
    arrays, _ = read(tmp_path / "out.h5")

    assert np.bincount(arrays["split"][arrays["y"] == 0]).tolist() == [50, 25, 25]
    assert np.bincount(arrays["split"][arrays["y"] == 1]).tolist() == [150, 75, 75]


@pytest.mark.parametrize("by", ["grouped", "time"])
def test_groups_and_times_from_a_table(csv, tmp_path, by):
    """No user is in two splits; no test day lies before a train day; the column itself is no input."""
    column = {"grouped": "user", "time": "day"}[by]
    plan = hpcmtl.data.seal(tmp_path / "out.h5", csv, {"split": {"by": by, "column": column}})
    frame, split = frame_of(), plan.split

    assert plan.rules[column].kind == "skip"
    if by == "grouped":
        assert frame.assign(split=split).groupby("user")["split"].nunique().max() == 1
    else:
        assert frame["day"][split == 0].max() < frame["day"][split == 1].min()
        assert frame["day"][split == 1].max() < frame["day"][split == 2].min()
    assert plan.split_sizes["train"] > 0.6 * ROWS


def test_missing_values_by_each_rule(tmp_path):
    """The mean of the train rows, a given value, or the mean with a mask of known cells."""
    holes = np.array([1.0, np.nan, 3.0, 5.0])
    given_ = {"part": np.array([0, 0, 0, 2]), "a": holes, "b": holes, "c": holes, "d": ["x", None, "y", "x"]}
    columns = {
        "a": {"kind": "numeric", "missing": "mean", "standardise": False},
        "b": {"kind": "numeric", "missing": "value", "value": -7, "standardise": False},
        "c": {"kind": "numeric", "missing": "mask"},
        "d": {"kind": "categorical", "missing": "mask"},
    }
    hpcmtl.data.seal(tmp_path / "out.h5", given_, {"columns": columns, "split": {"by": "column", "column": "part"}})
    arrays, _ = read(tmp_path / "out.h5")

    assert arrays["inputs"].T.tolist() == [[1, 2, 3, 5], [1, -7, 3, 5], [-1, 0, 1, 3]]
    assert arrays["c_mask"].tolist() == arrays["d_mask"].tolist() == [1, 0, 1, 1]
    assert arrays["d"].tolist() == [0, 0, 1, 0]


def test_declared_classes_and_unknown_ones(tmp_path):
    """Declared classes keep their order; what is unknown has the last code, if that was asked for."""
    given_ = {"y": np.array(["b", "a", "c", "b"]), "x": np.arange(4.0)}
    columns = {"y": {"kind": "categorical", "classes": ["b", "a"], "unknown": "code"}}
    hpcmtl.data.seal(tmp_path / "out.h5", given_, {"columns": columns, "split": {"by": "hash", "fractions": [1, 0, 0]}})
    arrays, _ = read(tmp_path / "out.h5")

    assert arrays["y"].tolist() == [0, 1, 2, 0]
    assert describe(tmp_path / "out.h5").datasets["y"].classes == ("b", "a", "<unknown>")


@pytest.mark.parametrize("ending", [".npz", ".npy", ".h5"])
def test_arrays_keep_their_values_and_types(tmp_path, ending):
    """Arrays of any shape are stored as they are, in blocks that have nothing to do with chunks."""
    images = np.random.default_rng(1).integers(0, 255, (700, 3, 64, 64), dtype=np.uint8)
    label, path, out = np.arange(700) % 5, tmp_path / f"images{ending}", tmp_path / "out.h5"
    if ending == ".npz":
        np.savez_compressed(path, images=images, label=label)
    elif ending == ".npy":
        np.save(path, images)
    else:
        with h5py.File(path, "w") as file:
            file.update({"images": images, "label": label, "name": [f"n{n % 3}" for n in label]})
    hpcmtl.data.seal(out, path, {"columns": {"images": {"kind": "array", "scale": 0.5}}})
    arrays, attributes = read(out)

    assert arrays["images"].dtype == np.uint8
    assert np.array_equal(arrays["images"], images)
    assert attributes["images"]["scale"] == 0.5
    assert ending == ".npy" or np.array_equal(arrays["label"], label)
    assert ending != ".h5" or arrays["name"].tolist() == (label % 3).tolist()


def test_a_folder_of_images(tmp_path):
    """Sub-folders are classes; pixels come channel first, resized if a size is given; the order is shuffled."""
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (6, 4 + number % 2), (100 * place, 7, number)).save(
                tmp_path / "images" / name / f"{number}.png"
            )
    recipe = {"columns": {"images": {"kind": "image", "size": [4, 6]}}}
    hpcmtl.data.seal(tmp_path / "out.h5", tmp_path / "images", recipe)
    arrays, attributes = read(tmp_path / "out.h5")

    assert arrays["images"].shape == (20, 3, 4, 6)
    assert attributes["images"]["scale"] == 1 / 255
    assert np.array_equal(arrays["images"][:, 0, 0, 0], arrays["class"] * 100)
    assert (arrays["images"][:, 1] == 7).all()
    assert len(set(arrays["class"][:8])) == 2


def test_a_column_of_paths_becomes_images(tmp_path):
    """A table may name image files beside it; grey ones have one channel, 16 bits are reduced to 8."""
    Image.fromarray(np.full((3, 3), 0x1234, np.uint16)).save(tmp_path / "a.png")
    Image.new("L", (3, 3), 200).save(tmp_path / "b.png")
    (tmp_path / "table.csv").write_text("file,y\na.png,1.5\nb.png,2.5\n")
    split = {"by": "hash", "fractions": [1, 0, 0]}
    hpcmtl.data.seal(tmp_path / "o.h5", tmp_path / "table.csv", {"columns": {"file": "image"}, "split": split})
    arrays, _ = read(tmp_path / "o.h5")

    assert arrays["file"][:, 0, 0, 0].tolist() == [0x12, 200]


def test_lines_of_text(tmp_path):
    """Each line is a sample; characters have codes from 2 on, padding is 0, the lengths are stored."""
    (tmp_path / "words.txt").write_text("ab\nb\n\nbbc\n", encoding="utf-8")
    recipe = {
        "columns": {"text": {"kind": "tokens", "by": "characters"}},
        "split": {"by": "hash", "fractions": [1, 0, 0]},
    }
    hpcmtl.data.seal(tmp_path / "out.h5", tmp_path / "words.txt", recipe)
    arrays, _ = read(tmp_path / "out.h5")

    assert arrays["text"].tolist() == [[3, 2, 0], [2, 0, 0], [0, 0, 0], [2, 2, 4]]
    assert arrays["text_length"].tolist() == [2, 1, 0, 3]


def test_blocks_of_arrays_from_a_generator(tmp_path):
    """A generator of mappings of arrays gives blocks of rows; it is read once."""
    blocks = ({"x": np.full((5, 2), number), "y": np.arange(5)} for number in range(9))
    hpcmtl.data.seal(tmp_path / "out.h5", blocks)
    arrays, _ = read(tmp_path / "out.h5")

    assert arrays["x"].shape == (45, 2)
    assert arrays["x"][:, 0].tolist() == np.repeat(np.arange(9), 5).tolist()


@pytest.mark.parametrize(
    ("late", "kind"), [("2.5", "numeric"), ("abc", "categorical"), ("2.5", "categorical"), ("007", "categorical")]
)
def test_a_column_may_change_its_type_late(tmp_path, monkeypatch, late, kind):
    """Whole numbers that become floats or text after the first block are read as these from the start."""
    monkeypatch.setattr(arrow_tables, "BLOCK_BYTES", 4096)
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n % 9},{n}\n" for n in range(3000)) + f"{late},1\n")
    recipe = {"columns": {"x": {"kind": kind}}, "split": {"by": "hash", "fractions": [1, 0, 0]}}
    hpcmtl.data.seal(tmp_path / "out.h5", tmp_path / "t.csv", recipe)
    arrays, attributes = read(tmp_path / "out.h5")

    if kind == "numeric":
        assert np.isclose(to_units(tmp_path / "out.h5", "inputs", arrays["inputs"])[-1, 0], 2.5)
    else:
        classes = [each.decode() for each in attributes["x"]["classes"]]
        assert classes[arrays["x"][-1]] == late
        assert len(classes) == 10


@pytest.mark.parametrize("split", ["hash", {"by": "grouped", "column": "c"}, {"by": "time", "column": "c"}])
@pytest.mark.parametrize("late", ["z,2.5,7", "z,2,7.5"])
def test_a_type_may_change_beside_columns_that_are_not_read(tmp_path, monkeypatch, split, late):
    """The column whose type changes late is found also where a pass leaves out the columns before it."""
    monkeypatch.setattr(arrow_tables, "BLOCK_BYTES", 4096)
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n" + "".join(f"k{n},{n % 9},{n}\n" for n in range(3000)) + f"{late}\n")
    plan = plan_seal(path, {"columns": {"a": "skip"}, "split": split})

    assert len(plan.split) == 3001
    assert plan.encoders[0].summary().startswith("0 to 8, standardised")


def test_rows_are_a_table_and_blocks_are_arrays():
    """Numbers of rows stand side by side in the inputs, as those of a file; arrays of blocks stay arrays."""
    rows = plan_seal({"x": 1.0 * n, "y": "ab"[n % 2]} for n in range(50))
    blocks = plan_seal({"x": np.arange(9.0)} for n in range(5))

    assert list(rows.outputs) == ["inputs"]
    assert [rule.kind for rule in blocks.rules.values()] == ["array"]


def test_whole_numbers_keep_all_digits(tmp_path):
    """A target of whole numbers is exact beyond what a float holds."""
    big = 2**60 + np.arange(50)
    hpcmtl.data.seal(tmp_path / "out.h5", pd.DataFrame({"x": np.arange(50.0), "y": big}), {"targets": ["y"]})
    arrays, _ = read(tmp_path / "out.h5")

    assert arrays["y"].tolist() == big.tolist()


def test_memory_does_not_grow_with_the_rows():
    """No more than a few blocks of a generated table are alive at once."""
    alive, most, lock = 0, 0, threading.Lock()

    class Counted:
        """A block that tells when it is gone."""

        where, folder = "counted", None

        def blocks(self, names=None):
            from hpcmtl.data.sealing.cells import TableBlock, cells_of

            nonlocal alive, most
            for number in range(50):
                array = np.arange(1000.0).view(Tracked)
                with lock:
                    alive += 1
                    most = max(most, alive)
                yield TableBlock(start=number * 1000, rows=1000, columns={"x": cells_of(array)}, done=0)
                del array

    class Tracked(np.ndarray):
        """An array that tells when it is gone."""

        def __del__(self):
            nonlocal alive
            if self.base is not None and not isinstance(self.base, Tracked):
                alive -= 1

    from hpcmtl.data.sealing import seal

    plan = seal._planned(Counted(), hpcmtl.data.sealing.rules.Recipe(), lambda stage, done: None, are_arrays=False)

    assert len(plan.split) == 50_000
    assert most <= 4


@pytest.mark.parametrize("when", ["statistics", "writing"])
def test_an_interrupted_seal_leaves_nothing(tmp_path, csv, when):
    """Neither the file nor a part of it is left after Ctrl-C, and an older file stays as it was."""

    def interrupt(stage, done):
        if stage == when:
            raise KeyboardInterrupt

    (tmp_path / "old.h5").write_text("old")
    for name in ("new.h5", "old.h5"):
        with pytest.raises(KeyboardInterrupt):
            hpcmtl.data.seal(tmp_path / name, csv, overwrite=True, report=interrupt)

    assert [path.name for path in tmp_path.iterdir()] == ["old.h5"]
    assert (tmp_path / "old.h5").read_text() == "old"


def test_a_table_that_changes_meanwhile_is_refused(tmp_path):
    """Rows that are added after the statistics were made end the seal; nothing is left."""
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,2\n3,4\n5,6\n")

    def add(stage, done):
        if stage == "statistics":
            path.write_text("x,y\n1,2\n3,4\n5,6\n7,8\n")

    with pytest.raises(InputError, match="changed meanwhile"):
        hpcmtl.data.seal(tmp_path / "out.h5", path, {"split": {"fractions": [1, 0, 0]}}, report=add)
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]
