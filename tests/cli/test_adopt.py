"""`hpcmtl data adopt`: the file beside the original, its description, its check, and exit codes."""

import json
import sys

import pytest
from plain_files import plain_arrays, write_plain

from hpcmtl.cli.app import main


@pytest.fixture
def hpcmtl(monkeypatch, capfd, tmp_path):
    """Run the command in `tmp_path`, in this process; returns exit code, stdout and stderr."""
    write_plain(tmp_path / "big.h5", plain_arrays())
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hpcmtl", "data", *words])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capfd.readouterr()

    return call


def test_a_file_is_adopted_described_and_checked(hpcmtl):
    """The options become split and attributes; describe and check read the file as any other."""
    words = ("big.h5", "--inputs", "x", "--targets", "label=y", "--split", "stratified:label", "--fractions")
    column = ("--column", "label=array,classes=[a, b, c]", "--attribute", "licence=none")
    code, out, err = hpcmtl("adopt", *words, "0.5,0.25,0.25", "--seed", "3", *column)
    described = json.loads(hpcmtl("describe", "big.adopted.h5", "--json")[1])

    assert (code, err) == (0, "")
    assert out.startswith("600 samples: 301 train, 150 val, 149 test\nx: float32, shape (32, 64), from x of 1 file\n")
    assert described["attributes"] == {"licence": "none", "originals": "big.h5"}
    assert [each["name"] for each in described["arrays"]] == ["label", "x"]
    assert described["arrays"][0]["classes"] == ["a", "b", "c"]
    assert hpcmtl("check", "big.adopted.h5") == (0, "big.adopted.h5: 3 arrays, all are sound\n", "")


def test_missing_labels_are_declared(hpcmtl):
    """`--missing` makes a number a missing label: the file has it as attribute, and its checks know it."""
    words = ("big.h5", "--targets", "y", "--column", "y=array,classes=[b, c]", "--missing", "y=0")
    code, _, err = hpcmtl("adopt", *words)

    assert (code, "has label 2; 2 classes are named" in err) == (2, True)
    code, _, err = hpcmtl("adopt", *words[:-1], "y=2")
    assert (code, err) == (0, "")
    assert hpcmtl("check", "big.adopted.h5")[0] == 0


def test_json_and_force(hpcmtl, tmp_path):
    """The result is JSON on request; a file that exists is replaced only by --force, and an original never."""
    words = ("adopt", "big.h5", "--inputs", "x")
    found = json.loads(hpcmtl(*words, "--json")[1])

    assert found["originals"][0] == {
        "path": str(tmp_path / "big.h5"),
        "bytes": (tmp_path / "big.h5").stat().st_size,
        "samples": 600,
    }
    assert hpcmtl(*words)[0] == 2
    assert hpcmtl(*words, "--force")[0] == 0
    code, _, err = hpcmtl(*words, "--to", "big.h5", "--force")
    assert (code, "big.h5: is one of the files that are adopted" in err) == (2, True)


def test_refusals(hpcmtl, tmp_path):
    """Options that cannot be used end with 2 and a sentence; nothing is made."""
    refused = {
        ("--inputs", "w"): "big.h5: w: there is no such dataset",
        (): "no array is named",
        ("--inputs", "x", "--split", "stratified:w"): "w: there is no such dataset",
        ("--inputs", "x", "--to", "no/out.h5"): "there is no folder no",
        ("--inputs", "x", "--missing", "x"): "found 'x'; write NAME=nan or NAME=NUMBER",
        ("--inputs", "x", "--split", "column:z"): "z: has the shape (600, 2); the split needs one value for each",
        ("--inputs", "x", "--split", "column:y", "--fractions", "1,0,0"): "fractions",
    }

    for words, said in refused.items():
        code, _, err = hpcmtl("adopt", "big.h5", *words)
        assert (code, said in err) == (2, True), err
    assert [each.name for each in tmp_path.iterdir()] == ["big.h5"]
