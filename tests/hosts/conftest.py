"""Two hosts for the tests of this folder: network namespaces of this machine, joined by a network of 1 Gb/s."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
SCRIPT = FOLDER / "two_hosts.sh"
NONE_HERE = 77  # exit code of the script where there can be no such hosts


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the hosts: it starts ranks and takes its time."""
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.mpi)


@dataclass(frozen=True)
class Hosts:
    """Represents the two hosts.

    Attributes:
        name: beginning of their names.
    """

    name: str

    @property
    def first(self) -> str:
        """Name of the host on which commands are run."""
        return f"{self.name}a"

    @property
    def second(self) -> str:
        """Name of the other host."""
        return f"{self.name}b"

    @property
    def slots(self) -> str:
        """Two slots on each."""
        return f"{self.first}:2,{self.second}:2"

    def on(self, *words: str | Path) -> list[str]:
        """Returns the command that runs another one on the first host."""
        return [str(SCRIPT), "on", self.first, *map(str, words)]

    def run(self, *words: str | Path, timeout: float = 240, **environ: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on the first host, with the programs of this environment, to its end."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            self.on(*words),
            env={**os.environ, "PATH": path, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def cut(self) -> None:
        """Cuts the network between the hosts, for good."""
        subprocess.run([SCRIPT, "cut", self.name], check=True, timeout=20)


@pytest.fixture(scope="module")
def hosts(request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """The two hosts, new for each module; they need root, and HPCMTL_TESTS_SLURM=required means these as well."""
    number = zlib.crc32(f"{request.path} {os.getpid()}".encode())
    name = f"t{number:08x}"
    started = subprocess.run([SCRIPT, "start", name], capture_output=True, text=True, check=False, timeout=60)
    if started.returncode == NONE_HERE and os.environ.get("HPCMTL_TESTS_SLURM") != "required":
        subprocess.run([SCRIPT, "stop", name], check=True, timeout=60)
        pytest.skip(f"no network namespaces here: {started.stderr}")
    assert started.returncode == 0, started.stderr
    yield Hosts(name)
    subprocess.run([SCRIPT, "stop", name], check=True, timeout=60)
