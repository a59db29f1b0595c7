"""A plain file for the tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plain_files import plain_arrays, write_plain

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A plain file; a test may change it."""
    return write_plain(tmp_path / "plain.h5", plain_arrays())
