"""Programs that stand for those of Slurm on PATH: they note how they were called, and answer as they are told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NOTE = """#!/bin/bash
printf '%s\\n' "$(basename "$0") $*" >>"{folder}/calls"
env >"{folder}/environment-$(basename "$0")"
"""


class FakeSlurm:
    """A directory of such programs; the first on PATH once `path` is set.

    Attributes:
        folder: of the programs, and of what they note.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.answer("sbatch", 'n=$(($(cat "$0.n" 2>/dev/null || echo 99) + 1)); echo $n >"$0.n"; echo $n')
        self.answer("scontrol", "exit 0")

    @property
    def path(self) -> str:
        """PATH with the programs in front."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def answer(self, name: str, body: str) -> Path:
        """Make a program that notes how it was called, and then runs a few words of bash."""
        file = self.folder / name
        file.write_text(_NOTE.format(folder=self.folder) + body + "\n")
        file.chmod(0o755)
        return file

    def calls(self) -> list[str]:
        """How the programs were called, in order."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def environment(self, name: str) -> dict[str, str]:
        """The environment that a program was last called with."""
        lines = (self.folder / f"environment-{name}").read_text().splitlines()
        return dict(line.partition("=")[::2] for line in lines)
