from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUOTED = re.findall(r'^\*\*"(.+?)"\*\*', (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "hpcmtl").rglob("*.py"))
OF_LIBRARIES = {"We can't generate TBlob for MKLDNN data", "module 'numpy' has no attribute 'bool'"}


@pytest.mark.parametrize("message", [message for message in QUOTED if message not in OF_LIBRARIES])
def test_a_message_that_is_explained_exists(message: str) -> None:
    """The longest part of a quoted message without numbers and names is in the source of the package."""
    fixed = max(re.split(r"\s*(?:\d+|\.\.\.|node\d+|engine kvstore|horovod|; |: )\s*", message), key=len)

    assert fixed in SOURCES
