"""Executables that replace Slurm's commands on PATH; they record their calls and reply as a test tells them."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_RECORD = """#!/bin/bash
printf "%s\\n" "${{0##*/}} $*" >>{folder}/calls
/usr/bin/env >{folder}/environment-"${{0##*/}}"
"""
_JOB_NUMBERS = 'n=$(($(cat "$0.n" 2>/dev/null || echo 99) + 1)); echo $n >"$0.n"; echo $n'


class FakeSlurm:
    """A folder of commands; those that no test has set are missing.

    Attributes:
        folder: the folder of the commands and of their records.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @classmethod
    def accepting(cls, folder: Path) -> FakeSlurm:
        """Returns a Slurm that takes every job, with numbers from 100, and every call of scontrol."""
        fake = cls(folder)
        fake.runs("sbatch", _JOB_NUMBERS)
        fake.replies("scontrol")
        return fake

    @property
    def path(self) -> str:
        """PATH with the commands in front."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def replies(self, command: str, out: str = "", err: str = "", code: int = 0) -> None:
        """Lets a command print some text and end with an exit code."""
        self.runs(command, f"printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; exit {code}")

    def hangs(self, command: str, seconds: int = 60) -> None:
        """Lets a command reply late: a shell script that waits for a child, like the wrappers of sites."""
        self.runs(command, f"sleep {seconds}; echo late")

    def runs(self, command: str, script: str) -> Path:
        """Lets a command run a shell script, and returns its file."""
        file = self.folder / command
        file.write_text(_RECORD.format(folder=shlex.quote(str(self.folder))) + script + "\n", encoding="utf-8")
        file.chmod(0o755)
        return file

    def all_calls(self) -> list[str]:
        """Returns all calls in order, each with the name of the command."""
        file = self.folder / "calls"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def calls(self, command: str) -> list[str]:
        """Returns the arguments of each call of one command."""
        found = [line.partition(" ") for line in self.all_calls()]
        return [arguments for name, _, arguments in found if name == command]

    def environment(self, command: str) -> dict[str, str]:
        """Returns the environment of the last call of a command."""
        lines = (self.folder / f"environment-{command}").read_text(encoding="utf-8").splitlines()
        return dict(line.partition("=")[::2] for line in lines)
