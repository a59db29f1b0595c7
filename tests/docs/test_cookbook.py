"""Follows the cookbook: the files and the commands of each recipe, in their order, in a folder of its own."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/cookbook.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"\n## ([^\n]+)\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL))
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
NAMED = re.compile(r"`([\w.]+\.(?:py|yaml))`")
LEAST = {
    "Table to result": {"homes_test": {"price.r2": 0.9, "garden.accuracy": 0.9, "energy.accuracy": 0.85}},
    "Images to result": {"shapes_test": {"accuracy": 0.85, "auc": 0.9}},
    "Words to result": {"words_test": {"accuracy": 0.85}},
    "Missing labels": {"kind_test": {"accuracy": 0.7}, "sizes_test": {"r2": 0.8}},
    "Several data sets": {"north_test": {"kind.accuracy": 0.8}, "south_test": {"size.r2": 0.8}},
    "Terabytes in place": {"scans_test": {"accuracy": 0.85}},
}
"""Test values that a recipe reaches; each is far above that of the most frequent class or the mean."""


def follow(recipe: str, folder: Path) -> None:
    """Writes the files of a recipe, each named in the text before its block, and runs its commands."""
    end = 0
    for block in BLOCK.finditer(recipe):
        language, text = block.groups()
        if language == "sh":
            for line in text.splitlines():
                run(line, folder)
        else:
            name = NAMED.findall(recipe[end : block.start()])[-1]
            (folder / name).write_text(text, encoding="utf-8")
        end = block.end()


def run(line: str, folder: Path) -> None:
    """Runs a command of the page by this Python; it has to end well."""
    program, *words = shlex.split(line)
    command = [sys.executable, *([] if program == "python" else ["-m", program]), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def results_in(folder: Path) -> dict[str, Any]:
    """Returns the results of the only run in a folder, by task."""
    (results,) = folder.glob("runs/*/results.json")
    found: dict[str, Any] = json.loads(results.read_text())["tasks"]
    return found


def test_each_recipe_has_a_result() -> None:
    """The list of expected results and the links at the head of the page have every recipe."""
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE.partition("\n## ")[0])

    assert list(RECIPES) == list(LEAST)
    assert links == [name.lower().replace(" ", "-") for name in RECIPES]


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leads_to_its_result(name: str, tmp_path: Path) -> None:
    """All files and commands of a recipe work as they stand, and what it trains has learned."""
    follow(RECIPES[name], tmp_path)
    found = results_in(tmp_path)

    for task, least in LEAST[name].items():
        for metric, value in least.items():
            assert found[task]["metrics"][metric] > value, (task, found[task]["metrics"])
