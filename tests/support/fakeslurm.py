"""Small executables that stand for Slurm's commands on the PATH of a test, and note how they were called."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FakeSlurm:
    """A folder of commands; those that no test has set are missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def says(self, command: str, out: str = "", err: str = "", code: int = 0) -> None:
        """Let a command print this and end with this code, and note how it was called."""
        self._write(command, f"printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; exit {code}")

    def is_slow(self, command: str, seconds: int = 60) -> None:
        """Let a command not answer for so long: a shell script that waits for a child, as wrappers of sites do."""
        self._write(command, f"sleep {seconds}; echo late")

    def does(self, command: str, script: str) -> None:
        """Let a command do what a shell script says."""
        self._write(command, script)

    def calls(self, command: str) -> list[str]:
        """The arguments of each call so far."""
        noted = self._folder / f"{command}.calls"
        return noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []

    def _write(self, command: str, script: str) -> None:
        path = self._folder / command
        noted = shlex.quote(str(self._folder / f"{command}.calls"))
        path.write_text(f'#!/bin/sh\necho "$*" >> {noted}\n{script}\n', encoding="utf-8")
        path.chmod(0o755)
