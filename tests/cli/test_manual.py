"""The help as a command and as a manual page, and the completion of words in bash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import run_python

from hpcmtl._version import __version__
from hpcmtl.cli.verbs import app


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The manual page in a file."""
    folder = tmp_path_factory.mktemp("man")
    made = run_python(folder, "-m", "hpcmtl", "help", "--man")
    assert (made.returncode, made.stderr) == (0, "")
    (folder / "hpcmtl.1").write_text(made.stdout, encoding="utf-8")
    return folder / "hpcmtl.1"


def formatted(page):
    """Returns the text of the page as `man` shows it, on one line."""
    if shutil.which("groff") is None:
        pytest.skip("groff, which formats manual pages, is not installed")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", str(page)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return " ".join(done.stdout.split())


def test_the_page_has_every_command_and_option(page):
    """Each command that the help lists has a section, with each of its options, and groff has no warning."""
    shown = page.read_text(encoding="utf-8").replace("\\-", "-")
    names = [each.name for each in app.registered_commands]
    sections = re.findall(r'^\.SS "hpcmtl (\S+)', shown, re.MULTILINE)
    run = shown.partition('.SS "hpcmtl run ')[2].partition(".SS")[0]

    assert set(names) <= set(sections)
    assert ['"hpcmtl data seal' in shown, '"hpcmtl data adopt' in shown] == [True, True]
    assert all(option in run for option in ("--ranks", "--hosts", "--set KEY=VALUE", "Plan and train a job."))
    text = formatted(page)
    assert f"hpcmtl {__version__}" in text
    assert "75 stopped and resumable" in text.partition("EXIT STATUS")[2]
    assert "hpcmtl - One batch job for a family of dependent training tasks" in text


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_shows_the_page(page):
    """The command `man` formats the file."""
    done = subprocess.run(
        ["man", "-l", str(page)],
        env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "SYNOPSIS" in done.stdout


def test_help_of_a_command(tmp_path):
    """`help` shows what `--help` shows, also within a group, and refuses an unknown name with the nearest."""
    asked = run_python(tmp_path, "-m", "hpcmtl", "help", "data", "seal")
    own = run_python(tmp_path, "-m", "hpcmtl", "data", "seal", "--help")
    wrong = run_python(tmp_path, "-m", "hpcmtl", "help", "statsu")

    assert asked.returncode == own.returncode == 0
    assert asked.stdout.split() == own.stdout.split()
    assert (wrong.returncode, "did you mean 'status'" in wrong.stderr) == (2, True)


BASH = """
source "$HOME/.bashrc"
ask() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    "$(complete -p hpcmtl | sed 's/.* -F \\([^ ]*\\) .*/\\1/')" hpcmtl
    echo "${COMPREPLY[@]}"
}
ask hpcmtl stat
ask hpcmtl data adop
ask hpcmtl run --host
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(tmp_path):
    """After `hpcmtl --install-completion` a new bash completes commands, commands of a group, and options."""
    program = Path(sys.executable).with_name("hpcmtl")
    if not program.exists():
        pytest.fail("the hpcmtl command is not installed beside this Python: run this by tests/run.sh")
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    common = {"env": env, "cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120}
    installed = subprocess.run(["bash", "-c", "hpcmtl --install-completion; true"], check=False, **common)
    done = subprocess.run(["bash", "--norc", "-c", BASH], check=False, **common)

    assert (tmp_path / ".bashrc").exists(), installed.stdout + installed.stderr
    assert done.stdout.splitlines() == ["status", "adopt", "--hosts --hostfile"], done.stderr
