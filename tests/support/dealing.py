"""How tests are dealt to the processes that run them: what shares a long beginning goes to one of them.

A fixture of a module is made anew by each process that gets one of the module's tests, which for a fixture of real runs
takes longer than the tests; and the modules that use the one Slurm would wait for each other.
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
LONG = ("start_once", "built_data")  # fixtures


class Dealing(LoadScopeScheduling):
    """Each test by itself, but for those that are better kept together; these come first."""

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
    """Deal like this where `--dist loadscope` is asked for."""
    return Dealing(config, log) if config.getvalue("dist") == "loadscope" else None
