"""The sources of a network's inputs among all that a session reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.training.step_input import INPUT_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.data.sources import Source
    from hpcmtl.networks.shapes import InputShapes


def input_sources(sources: Iterable[Source]) -> dict[str, Source]:
    """Returns the sources of a network's inputs by the names of the inputs."""
    return {each.key.removeprefix(INPUT_ROWS): each for each in sources if each.key.startswith(INPUT_ROWS)}


def shapes_of(inputs: Mapping[str, Source]) -> InputShapes:
    """Returns the shape of one sample of each input."""
    return {name: source.described().datasets[source.dataset].shape for name, source in inputs.items()}
