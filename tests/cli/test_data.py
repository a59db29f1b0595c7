"""`hpcmtl data`: exit codes, data on stdout, talk on stderr, and nothing left where nothing shall be."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from patience import PATIENCE

from hpcmtl.cli.app import main


@pytest.fixture
def hpcmtl(monkeypatch, capfd, tmp_path):
    """Run the command in `tmp_path`, in this process; returns exit code, stdout and stderr."""
    (tmp_path / "t.csv").write_text(
        "x,y,day\n" + "".join(f"{n},{'ab'[n % 2]},2020-01-{n % 28 + 1:02}\n" for n in range(60))
    )

    def call(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["hpcmtl", "data", *words])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capfd.readouterr()

    return call


SEAL = ("seal", "out.h5", "--from", "t.csv")


def test_a_dry_run_writes_nothing(hpcmtl, tmp_path):
    """The columns, datasets and split are shown, also as JSON; no file is made."""
    code, out, err = hpcmtl(*SEAL, "--target", "y", "--dry-run")
    as_json = json.loads(hpcmtl(*SEAL, "--target", "y", "--dry-run", "--json")[1])

    assert (code, err) == (0, "")
    assert "y       categorical (guessed)" in out
    assert out.endswith("out.h5: not written (--dry-run)\n")
    assert as_json["datasets"]["inputs"]["shape"] == [60, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_dry_run_shows_what_it_refuses(hpcmtl, tmp_path):
    """The table of columns comes with missing shares, and behind it the problems, with exit code 2."""
    (tmp_path / "holes.csv").write_text("x,y\n" + "".join(f"{n if n % 4 else ''},{n % 2}\n" for n in range(40)))
    words = ("seal", "out.h5", "--from", "holes.csv", "--target", "y", "--dry-run")
    code, out, err = hpcmtl(*words)
    told = json.loads(hpcmtl(*words, "--json")[1])

    assert code == 2
    assert any(line.startswith("x ") and "25.0%" in line for line in out.splitlines())
    assert "x" in err
    assert "missing" in err
    assert len(told["problems"]) == 1
    assert not (tmp_path / "out.h5").exists()


def test_a_file_is_made_described_and_checked(hpcmtl, tmp_path):
    """Options become rules and attributes; describe and check read the file."""
    words = ("--target", "y", "--split", "time:day", "--fractions", "0.5,0.25,0.25", "--attribute", "source=me")
    assert hpcmtl(*SEAL, *words)[0] == 0
    described = json.loads(hpcmtl("describe", "out.h5", "--json")[1])
    told, checked = hpcmtl("describe", "out.h5")[1], hpcmtl("check", "out.h5")

    assert described["attributes"]["source"] == "me"
    assert sum(described["splits"].values()) == 60
    assert "train: a 1" in told
    assert checked == (0, "out.h5: 3 arrays, all are sound\n", "")
    assert hpcmtl("describe", "out.h5", "--html", "page.html")[:2] == (0, "page.html: written\n")
    assert "<h2>inputs</h2>" in (tmp_path / "page.html").read_text()


def test_damage_is_found(hpcmtl, tmp_path):
    """Values that were changed after the seal end the check with 1 and the name of the array."""
    assert hpcmtl(*SEAL)[0] == 0
    with h5py.File(tmp_path / "out.h5", "r+") as file:
        file["inputs"][3, 0] = np.float32(99)
    code, out, _ = hpcmtl("check", "out.h5")

    assert code == 1
    assert "inputs: values do not match their checksum" in out
    assert "1 of 2 arrays are damaged" in out
    assert json.loads(hpcmtl("check", "out.h5", "--json")[1])["sound"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("seal", "t.csv", "--from", "t.csv"), "t.csv: exists already; give another name, or `--force`"),
        (("seal", "no/out.h5", "--from", "t.csv"), "there is no folder no"),
        (("seal", "out.h5", "--from", "no.csv"), "no.csv: does not exist"),
        ((*SEAL, "--column", "x"), "--column x: write NAME=KIND"),
        ((*SEAL, "--column", "x=numeric,missing"), "found 'missing'; write KEY=VALUE"),
        ((*SEAL, "--column", "x=number"), "columns.x.kind: found 'number'"),
        ((*SEAL, "--split", "folds:5"), "write folds:FOLDS/FOLD"),
        ((*SEAL, "--split", "time"), "write time:COLUMN"),
        ((*SEAL, "--split", "hash:x"), "found 'hash:x'; write hash"),
        ((*SEAL, "--fractions", "a"), "write three numbers"),
        ((*SEAL, "--fractions", "0.5,0.6,0"), "three numbers whose sum is 1"),
        ((*SEAL, "--attribute", "source"), "found 'source'; write KEY=VALUE"),
        ((*SEAL, "--columns", "no.yaml"), "no.yaml: cannot be read"),
        ((*SEAL, "--target", "z"), "column 'z': is not there"),
        (("check", "no.h5"), "no.h5: does not exist"),
        (("describe", "t.csv"), "t.csv: is truncated, unreadable or not an HDF5 file"),
        (("describe", "no.h5"), "no.h5: does not exist"),
    ],
)
def test_wrong_commands_are_refused(hpcmtl, tmp_path, words, message):
    """A wrong option, rule or path ends with 2 and a sentence on stderr; nothing is written."""
    code, out, err = hpcmtl(*words)

    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_names_of_classes_cannot_change_the_terminal(hpcmtl, tmp_path):
    """Line breaks and escapes of class names are shown as text."""
    (tmp_path / "t.csv").write_text('x,y\n1,"a\nb"\n2,\x1b[31m\n')
    out = hpcmtl(*SEAL, "--target", "y", "--dry-run")[1]

    assert "a\\nb" in out
    assert "\x1b" not in out


def test_force_replaces_a_file(hpcmtl, tmp_path):
    """With `--force` an older file is replaced as a whole."""
    (tmp_path / "out.h5").write_text("old")

    assert hpcmtl(*SEAL, "--force")[0] == 0
    assert hpcmtl("check", "out.h5")[0] == 0


def test_options_go_before_the_columns_file(hpcmtl, tmp_path):
    """Rules of the command replace those of the file; the others stay."""
    (tmp_path / "c.yaml").write_text("columns: {x: skip, day: skip}\nsplit: {by: hash, seed: 3}\ntargets: [y]\n")
    plan = json.loads(hpcmtl(*SEAL, "--columns", "c.yaml", "--column", "x=numeric", "--dry-run", "--json")[1])

    assert [each["kind"] for each in plan["columns"]] == ["numeric", "categorical", "skip"]


@pytest.mark.parametrize("package", ["pyarrow", "PIL"])
def test_a_missing_extra_is_named(hpcmtl, tmp_path, monkeypatch, package):
    """Without the package the command ends with 3 and the line that installs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "f.npz").touch()
    source = ("t.csv", ()) if package == "pyarrow" else ("t.npz", ("--column", "x=image"))
    np.savez(tmp_path / "t.npz", x=np.array(["a.png"]))
    code, _, err = hpcmtl("seal", "out.h5", "--from", source[0], *source[1])

    assert code == 3
    assert "pip install 'hpcmtl[data]'" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(tmp_path, number):
    """Ctrl-C and SIGTERM end a seal on a terminal, whose bar was drawn, with a sentence; no file is left."""
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1.25,2.5\n" * 3_000_000)
    here, there = pty.openpty()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcmtl", "data", "seal", "out.h5", "--from", path], cwd=tmp_path, stderr=there
    )
    signal.signal(signal.SIGINT, before)
    os.close(there)
    seen, limit = b"", time.monotonic() + 60 * PATIENCE
    while b"statistics" not in seen and time.monotonic() < limit and process.poll() is None:
        seen += os.read(here, 65536)
    process.send_signal(number)
    code = process.wait(60 * PATIENCE)
    os.close(here)

    assert b"statistics" in seen
    assert code == 128 + number
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]
