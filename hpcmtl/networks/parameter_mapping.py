"""Mappings of parameters from the network of one task to the network of another."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True)
class ParameterMapping:
    """Parameters that one task gives to another, and the names that they have there.

    Attributes:
        producer: name of the task that has trained the parameters.
        take: beginning of the names that are taken; it is removed from them.
        into: beginning that the names get instead.
        pattern: shell pattern that the whole name matches in the producer.
    """

    producer: str
    take: str = ""
    into: str = ""
    pattern: str = "*"

    def target(self, name: str) -> str | None:
        """Returns the name here of a parameter of the producer; None if the parameter is not taken."""
        if not name.startswith(self.take) or not fnmatch.fnmatchcase(name, self.pattern):
            return None
        return self.into + name.removeprefix(self.take)
