"""A real Slurm for the tests of this folder, one module of them at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from batch import Slurm, started_once, used_alone

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the cluster, so that `-m 'not slurm'` leaves it out, as `quick` does."""
    for item in items:
        if item.path.parent == FOLDER and "slurm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(900))  # the turn of another module may come first


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Four nodes of Slurm, started by the first test that asks; how: see HPCMTL_TESTS_SLURM in CONTRIBUTING.md."""
    if os.environ.get("HPCMTL_TESTS_SLURM", "") == "no":
        pytest.skip("HPCMTL_TESTS_SLURM=no")
    with started_once() as cluster:
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def _turn(slurm: Slurm) -> Iterator[None]:
    """A module has the cluster for itself, also where two sessions of tests share it."""
    with used_alone(slurm):
        yield
