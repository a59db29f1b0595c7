"""Values of job files are those of YAML 1.2, numbers are numbers in every form, and what is written is read back."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.jobfile import read
from hpcmtl.jobfile.load import load_job
from hpcmtl.jobfile.read import MOST_VALUES, read_values, read_yaml, to_yaml

if TYPE_CHECKING:
    from pathlib import Path

JOB = """\
hpcmtl: 1
job: numbers
data: {d: d.h5}
tasks:
  a:
    kind: train
    input: d/x
    target: d/y
    model: {name: mlp, outputs: 3}
    loss: softmax_ce
    epochs: 4
    optimizer: {name: sgd, learning_rate: 1e-3, options: {momentum: 0.9}}
"""
TOML = 'hpcmtl = 1\njob = "a"\n{}\n[tasks.t]\nkind = "python"\ncallable = "m:f"\n{}\n'


def refused(tmp_path: Path, text: str | bytes, name: str = "job.yaml") -> list[str]:
    """Returns the complaints about a file, without its folder."""
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as raised:
        load_job(file)
    return [str(problem).removeprefix(f"{tmp_path}/{name}").removeprefix(": ") for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("0x1F", 31),
        ("0o17", 15),
        ("-7", -7),
        ("true", True),
        ("~", None),
        ("1:30", "1:30"),
        ("2026-11-29", "2026-11-29"),
        ("y", "y"),
        ("=", "="),
        ("'010'", "010"),
        ('"yes"', "yes"),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    """Numbers with an exponent are numbers; times, dates and quoted words are texts."""
    found = read_yaml("here", text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("yes", "write true, or 'yes' in quotes"),
        ("Off", "write false, or 'Off' in quotes"),
        ("010", "write 10, or '010' in quotes"),
        ("-08", "write -8, or '-08' in quotes"),
        ("1_000", "write 1000, or '1_000' in quotes"),
    ],
)
def test_what_readers_disagree_on_is_refused(tmp_path: Path, text: str, remedy: str) -> None:
    """The message has key, line, what is found and both things to write; other problems stand beside it."""
    found = refused(tmp_path, JOB.replace("epochs: 4", f"epochs: {text}") + "rank: 4\n")

    assert found[0].startswith(f"tasks.a.epochs (line 11): found {text}, which is ")
    assert remedy in found[0]
    assert len(found) == 2
    assert found[1].startswith("rank (line 13): unknown key 'rank'; did you mean 'ranks'?")


@pytest.mark.parametrize("value", ["true", "'4'", "1:30", ".inf", "4.5", "[4]"])
def test_a_number_is_a_number(tmp_path: Path, value: str) -> None:
    """Truth values, texts and infinity are no number of epochs."""
    (found,) = refused(tmp_path, JOB.replace("epochs: 4", f"epochs: {value}"))

    assert found.startswith("tasks.a.epochs (line 11): found ")


def test_numbers_of_toml_and_json_are_as_strict(tmp_path: Path) -> None:
    """A text that YAML refuses is refused in other forms too, as is a date, which no run directory could give back."""
    toml = refused(tmp_path, TOML.format("ranks = true", 'retries = "2"\npriority = inf'), "job.toml")
    date = refused(tmp_path, TOML.format("", "arguments = {day = 2026-11-29}"), "job.toml")
    json = '{\n\t"hpcmtl": 1, "job": "a", "tasks": {"t": {"kind": "python", "callable": "m:f", "layers": "2"}}}'

    assert [text.partition(": ")[0] for text in toml] == ["ranks", "tasks.t.priority", "tasks.t.retries"]
    assert date == ["tasks.t.arguments.day: found the date or time 2026-11-29; a job file has none, write it in quotes"]
    assert refused(tmp_path, json, "job.json") == ["tasks.t.layers (line 2): found '2'; write a number, without quotes"]


def test_options_of_an_optimizer_are_numbers(tmp_path: Path) -> None:
    """A number in quotes under `options` is refused, since an optimizer would get a text."""
    (found,) = refused(tmp_path, JOB.replace("momentum: 0.9", "momentum: '0.9'"))

    assert found == "tasks.a.optimizer.options (line 12): momentum is '0.9', a text; write the number without quotes"


@pytest.mark.parametrize("name", ["no", "yes", "true", "null", "off"])
def test_words_are_names(tmp_path: Path, name: str) -> None:
    """A task may be called `no`: a key is a text."""
    file = tmp_path / "job.yaml"
    file.write_text(JOB.replace("  a:\n", f"  {name}:\n"))

    assert list(load_job(file).tasks) == [name]


def test_a_long_name_is_told_its_length(tmp_path: Path) -> None:
    """A name of 140 letters is refused with its length and the largest one, and not with all its letters again."""
    (found,) = refused(tmp_path, JOB.replace("job: numbers", "job: " + "n" * 140))

    assert found == f"job (line 2): '{'n' * 20}'... has 140 characters; a name has at most 100"


def test_anchors_that_stand_for_too_much(tmp_path: Path) -> None:
    """Ten lines that stand for half a billion values are refused at once, and so is an anchor inside of itself."""
    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise(names)]

    assert "490329064 values; at most 100000 are read" in refused(tmp_path, "\n".join(lines))[0]
    assert refused(tmp_path, "a: 1\nb: &x {c: *x}\n") == [" (line 2): an anchor contains itself"]
    assert MOST_VALUES == 100_000


def test_anchors_and_merged_keys_are_read(tmp_path: Path) -> None:
    """A task that takes the keys of another by `<<` may replace some of them."""
    file = tmp_path / "job.yaml"
    file.write_text(JOB.replace("  a:\n", "  a: &a\n") + "  b: {<<: *a, epochs: 2}\n")
    job = load_job(file)

    assert (job.tasks["a"].epochs, job.tasks["b"].epochs) == (4, 2)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("job.yaml", "a: " + "[" * 5000, "too many brackets"),
        ("job.toml", "a = " + "[" * 5000, "too many brackets"),
        ("job.yaml", "a: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("job.toml", "a = " + "9" * 5000, "not valid TOML: Exceeds the limit"),
        ("job.yaml", JOB.encode("utf-16"), "save it as UTF-8"),
    ],
)
def test_files_beyond_all_bounds(tmp_path: Path, name: str, text: str | bytes, words: str) -> None:
    """Depth, digits and encoding are told in a sentence and not by a traceback."""
    (found,) = refused(tmp_path, text, name)

    assert words in found


@pytest.mark.parametrize(("name", "text"), [("job.yaml", JOB), ("job.toml", TOML.format("", ""))])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path, name: str, text: str) -> None:
    """Files that an editor began with a mark are read as those without."""
    file = tmp_path / name
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert load_job(file).hpcmtl == 1


WORDS = st.sampled_from(
    ["1e-3", "010", "08", "yes", "1:30", "1_0", "0o7", ".5", "no", "~", "", "=", "<<", "0x1f", "1e5"]
)
PLAIN = st.one_of(WORDS, st.text(), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())


@given(st.dictionaries(st.one_of(WORDS, st.text()), st.lists(PLAIN)))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    """Texts, numbers and words of all kinds come back as they were, here and by a reader of YAML 1.1."""
    file = tmp_path_factory.mktemp("round") / "job.yaml"
    file.write_text(to_yaml(values), encoding="utf-8")

    assert read_values(file)[0] == values
    assert yaml.safe_load(to_yaml(values)) == values


DEEP = [
    "a: " + "[" * 60_000 + "]" * 60_000,
    "\n".join(" " * k + "a:" for k in range(3000)),
    "- " * 200_000 + "x",
    "? " * 200_000 + "x",
    "# " + "]" * 60_000 + "\na: " + "[" * 60_000,
]


@pytest.mark.parametrize("text", DEEP, ids=["brackets", "indentation", "lists", "keys", "closed first"])
def test_values_that_are_too_deep_do_not_end_the_process(text: str) -> None:
    """Thousands of values in each other are refused in words, where the fast reader would overrun its stack."""
    with pytest.raises(InputError, match="not valid YAML"):
        read_yaml("job.yaml", text)


@pytest.mark.parametrize("text", ["a: [1, 2\nb: 3", "a:\n\t- 1", "a: *b", "- a\nb: 2", "a: 'x", "%x"])
def test_both_readers_refuse_in_the_same_words(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of an error do not depend on whether libyaml is there."""
    said = []
    for fast in (read.FastLoader, read.Loader):
        monkeypatch.setattr(read, "FastLoader", fast)
        with pytest.raises(InputError) as refused:
            read_yaml("job.yaml", text)
        said.append(str(refused.value))

    assert said[0] == said[1]


def test_both_readers_give_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, texts, anchors, merged keys, empty values and lines are the same by either reader."""
    text = "a: &x {k: 0x1F, t: 'yes', n: 1e-3}\nb: {<<: *x, n: ~}\nc: |\n  long\nd: [1, 2.5, true, .inf, '010']\n"
    values = []
    for fast in (read.FastLoader, read.Loader):
        monkeypatch.setattr(read, "FastLoader", fast)
        values.append(repr(read_yaml("job.yaml", text)))

    assert values[0] == values[1]
