"""The inputs of a network in a job file: one reference, or several by the names of the network's inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Discriminator, Field, Tag

from hpcmtl.jobfile.fields import Reference
from hpcmtl.jobfile.transforms import TransformList
from hpcmtl.networks.input_values import INPUT, InputName

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_NAME, ALONE = "by name", "alone"
"""Tags of the two forms; no key of a job file has a space."""

GivenT = TypeVar("GivenT")


def _form_of_inputs(value: Any) -> str:
    return BY_NAME if isinstance(value, dict) else ALONE


def _form_of_transforms(value: Any) -> str:
    """Returns the form of `transform`; the mapping of a single transform has its `name`."""
    return BY_NAME if isinstance(value, dict) and not isinstance(value.get("name"), str) else ALONE


InputReferences = Annotated[
    Annotated[Reference, Tag(ALONE)] | Annotated[dict[InputName, Reference], Field(min_length=1), Tag(BY_NAME)],
    Discriminator(_form_of_inputs),
]
InputTransforms = Annotated[
    Annotated[TransformList, Tag(ALONE)] | Annotated[dict[InputName, TransformList], Tag(BY_NAME)],
    Discriminator(_form_of_transforms),
]


def by_input(given: GivenT | Mapping[str, GivenT]) -> dict[str, GivenT]:
    """Returns what a job file gives for the inputs of a network, by their names."""
    return dict(given) if isinstance(given, dict) else {INPUT: given}  # type: ignore[dict-item]  # no mapping
