"""Facts of a network that a framework has built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.networks.shapes import Shape


@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """Shapes of a network, as it shows them when it is built and run once.

    Attributes:
        outputs: shape of one sample of each output, in order; of a part alone if a part was asked for.
        parameters: shape of each parameter by its name.
        tied: names of each parameter that has several (tied weights).
        unused: names of parameters that would be trained, but that no output depends on.
        bounded: names of parameters of which each pass changes the rows that it uses, as `nn.Embedding(max_norm=...)`.
    """

    outputs: tuple[Shape, ...]
    parameters: Mapping[str, Shape]
    tied: tuple[tuple[str, ...], ...] = ()
    unused: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()

    def with_tied(self, names: Iterable[str]) -> set[str]:
        """Returns names of parameters, and the other names of these parameters."""
        found = set(names)
        return found.union(*(group for group in self.tied if not found.isdisjoint(group)))
