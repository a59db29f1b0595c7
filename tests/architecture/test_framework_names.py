"""Only the room of a framework and the registry know its name; everything else asks the registry."""

import re
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "hpcmtl"
NAMES = re.compile(r"mxnet|gluon|horovod|torch", re.IGNORECASE)
ROOMS = ("training/gluon/", "training/torch/", "frameworks/registry.py")

# File -> number of lines that may have such a name, and the reason.
ALLOWED: dict[str, tuple[int, str]] = {
    "layerplan/model/family.py": (3, "its constants were measured with these libraries, and say so"),
}


def lines_with_names(path):
    """Numbers of the lines of a module whose code, strings or comments have a framework's name."""
    with tokenize.open(path) as file:
        return sorted(
            {
                token.start[0] + number
                for token in tokenize.generate_tokens(file.readline)
                for number, line in enumerate(token.string.splitlines())
                if NAMES.search(line)
            }
        )


def modules():
    """Every module outside of the rooms that may know the names, as a path relative to the package."""
    paths = (str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py")))
    return [path for path in paths if not path.startswith(ROOMS)]


@pytest.mark.parametrize("module", modules())
def test_no_module_names_a_framework(module):
    """Neither code nor strings nor comments name MXNet, Gluon, Horovod or PyTorch, but for the listed exceptions."""
    found = lines_with_names(PACKAGE / module)

    assert len(found) <= ALLOWED.get(module, (0, ""))[0], f"lines {found}"


def test_exceptions_are_still_needed():
    """Each listed exception still names a framework, so that the list cannot outlive its reasons."""
    assert [module for module in ALLOWED if not lines_with_names(PACKAGE / module)] == []
