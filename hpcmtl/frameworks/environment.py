"""Defines the environment variables that a framework needs for some networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class EnvironmentNeeds:
    """Environment variables that the networks of a job need on all ranks.

    Attributes:
        variables: value of each variable.
        reason: text for the user: which tasks need them, why, and at what price; empty if this process had them.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
