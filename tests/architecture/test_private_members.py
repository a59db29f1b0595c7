"""No module switches a check off for its whole length, such as that for access to private members (SLF001)."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_module_is_exempt_from_the_check_of_private_members():
    """Access to a private member of another class is exempt on its own line alone, where its reason stands."""
    exempt = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "hpcmtl").rglob("*.py"))
        if re.search(r"^# ruff: noqa(: .*SLF001|$)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert exempt == []
