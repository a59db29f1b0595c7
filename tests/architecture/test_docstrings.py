"""The first line of a docstring is a statement: it does not begin with What, How, Who or Whether."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST_WORDS = {"What", "How", "Who", "Whether"}
RIDDLES = ("nobody", "somebody", "so many", "anew")  # patterns of names.md that messages and docstrings do without


def docstrings(text):
    """Yields the line and the docstring of a module, and of its classes and functions."""
    for node in ast.walk(ast.parse(text)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and (docstring := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), docstring


@pytest.mark.parametrize("folder", ["hpcmtl", "benchmarks", "datasets", "examples", "tests"])
def test_first_lines_are_statements(folder):
    """No docstring begins with a word that makes a clause its subject."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {docstring.splitlines()[0]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, docstring in docstrings(path.read_text(encoding="utf-8"))
        if docstring.split()[0].strip(",.:`") in FIRST_WORDS
    ]

    assert found == []


def test_the_package_has_no_riddles():
    """No message, docstring or comment of the package has a word that a reader must puzzle over."""
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sorted((ROOT / "hpcmtl").rglob("*.py"))
        for word in RIDDLES
        if re.search(rf"\b{word}\b", path.read_text(encoding="utf-8"), re.IGNORECASE)
    ]

    assert found == []
