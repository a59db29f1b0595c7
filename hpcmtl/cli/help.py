"""Commands whose help names no value for a flag: `--json` takes none."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class VerbCommand(TyperCommand):
    """A command; see the module."""

    def get_params(self, ctx: Any) -> Any:
        """Returns the parameters."""
        return _without_values(super().get_params(ctx))


class VerbGroup(TyperGroup):
    """A group of commands; see the module."""

    def get_params(self, ctx: Any) -> Any:
        """Returns the parameters."""
        return _without_values(super().get_params(ctx))


def _without_values(parameters: Any) -> Any:
    for each in parameters:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return parameters
