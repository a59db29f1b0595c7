"""A framework that is not installed is told with those that are."""

from __future__ import annotations

import pytest

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.frameworks.description import FrameworkDescription
from hpcmtl.training import frameworks

pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("required", "said"),
    [
        (
            ("no_such_distribution",),
            r"install no_such_distribution; installed here: .*`framework: torch`, under `defaults` or in a task$",
        ),
        (("numpy",), "repair its installation; `hpcmtl doctor` says more$"),
    ],
)
def test_what_is_installed_is_named(required: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is missing may have been left under `defaults`; one that is broken is no matter of another one."""
    absent = FrameworkDescription(
        name="absent",
        title="Absent",
        factory="no_such_module:Framework",
        losses=(),
        optimizers=(),
        engines=(),
        models=(),
        required=required,
    )
    monkeypatch.setattr(frameworks, "describe", lambda _name: absent)

    with pytest.raises(EnvironmentUnfitError, match=said):
        frameworks.open_framework(f"absent-{required}")
