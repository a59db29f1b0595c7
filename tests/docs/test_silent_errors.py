"""The page of silent errors names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "silent_errors.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what was wrong")]


def named_tests(row: str) -> list[tuple[str, str]]:
    """Returns path and name of each test in a row; a name alone is of the file before it."""
    found, path = [], ""
    for text in re.findall(r"`([^`]+)`", row.split("|")[3]):
        file, _, name = text.rpartition("::")
        path = file or path
        found.append((path, name))
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_row_names_tests_that_exist(row: str) -> None:
    """A row has what was wrong, how it is seen, and at least one function of a file of tests."""
    named = named_tests(row)

    assert len(row.split("|")) == 5
    assert named
    for path, name in named:
        tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, f"{path}::{name}"
