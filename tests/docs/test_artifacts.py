"""The page on artifacts goes with the example of the README, whose run it uses."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/artifacts.md").read_text(encoding="utf-8"), re.DOTALL)[
    0
]


def test_the_first_example_has_all_its_names() -> None:
    """Each name that is read has been given a value before."""
    names = [node for node in ast.walk(ast.parse(FIRST)) if isinstance(node, ast.Name)]
    stored = {node.id: node.lineno for node in names if isinstance(node.ctx, ast.Store)} | {"hpcmtl": 1, "print": 0}

    assert [node.id for node in names if stored.get(node.id, node.lineno + 1) > node.lineno] == []


def test_the_metrics_are_those_of_the_readme() -> None:
    """Both pages show the same run."""
    (shown,) = re.findall(r"metrics  # (\{.*\})", FIRST)
    (row,) = re.findall(r"^digit +complete.*\n.*", README, re.MULTILINE)

    assert all(f"{name} {value}" in row for name, value in ast.literal_eval(shown).items())
