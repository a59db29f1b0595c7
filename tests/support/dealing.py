"""Distribution of tests over processes: tests that share an expensive fixture go to one process.

A module's fixture is created again by each process that gets one of the module's tests. For a fixture of real runs this
takes longer than the tests. Modules that use the only Slurm would wait for each other.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

CHECKOUT = Path(__file__).parents[2]
LONG = ("start_once", "built_data")  # expensive fixtures


class Dealing(LoadScopeScheduling):
    """Distributes each test separately, except groups that are better kept together, which come first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/slurm/"):
            return "tests/slurm"
        return file if _begins_long(file) else nodeid


@cache
def _begins_long(file: str) -> bool:
    text = (CHECKOUT / file).read_text(encoding="utf-8")
    return any(fixture in text for fixture in LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Dealing | None:
    """Returns this scheduler for `--dist loadscope`."""
    return Dealing(config, log) if config.getvalue("dist") == "loadscope" else None
