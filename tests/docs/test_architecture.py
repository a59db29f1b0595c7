from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
ROOMS = re.findall(r"^\| `([\w/]+/)` \|", PAGE, re.MULTILINE)


def test_every_room_has_a_row() -> None:
    """The table of rooms names every package of hpcmtl that holds modules, and no other."""
    packages = {f"{path.parent.relative_to(ROOT / 'hpcmtl')}/" for path in (ROOT / "hpcmtl").rglob("*/*.py")}
    documented = set(ROOMS)

    assert documented == {package for package in packages if package != "./"}


def test_every_module_that_is_named_exists() -> None:
    """A path to a module leads to a file of the package."""
    named = re.findall(r"`([\w/]+\.py)`", PAGE)

    assert [path for path in named if not (ROOT / "hpcmtl" / path).exists()] == []


def test_the_floors_are_those_of_the_linter() -> None:
    """The line of floors is the list of layers that import-linter checks."""
    (layers,) = re.findall(r"^layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    floors = re.findall(r'"(.+?)"', layers)
    (line,) = re.findall(r"\*\*Invariant: floors\.\*\* `([^`]+)`", PAGE)

    assert " ".join(line.split()) == " > ".join(floors)
