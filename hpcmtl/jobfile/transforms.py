"""Transforms of the samples of a network's input, as a job file names them; `data.transforming` carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from hpcmtl.jobfile.fields import Callable_
from hpcmtl.networks.bounds import MOST
from hpcmtl.networks.spec import Spec, tag_of_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.networks.shapes import Shape

_On = Annotated[
    Literal["train", "all"],
    Field(description="train: the train samples, while they are trained on; all: wherever the network runs"),
]
_Numbers = Annotated[tuple[float, ...], Field(min_length=1)]
_Positive = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(gt=0, le=MOST)]


class Normalise(Spec):
    """Subtracts a mean and divides by a deviation: one of each for each index of the first axis of a sample."""

    name: Literal["normalise"] = "normalise"
    on: Literal["all"] = "all"
    mean: _Numbers | None = Field(default=None, description="default: that of the train samples")
    deviation: Annotated[tuple[_Positive, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _both(self) -> Normalise:
        if (self.mean is None) != (self.deviation is None):
            raise ValueError("`mean` and `deviation` are given together, or both are computed; add the other one")
        if self.mean is not None and self.deviation is not None and len(self.mean) != len(self.deviation):
            raise ValueError(f"found {len(self.mean)} means and {len(self.deviation)} deviations; write one for each")
        return self


class Flip(Spec):
    """Mirrors every second image, drawn at random."""

    name: Literal["flip"] = "flip"
    on: _On = "train"
    axis: Literal["horizontal", "vertical"] = "horizontal"


class Crop(Spec):
    """Adds a border of zeros to an image, and cuts a piece of its former size out of it at random."""

    name: Literal["crop"] = "crop"
    on: _On = "train"
    padding: _Count = Field(description="width of the border, in pixels")


class Noise(Spec):
    """Adds normally distributed numbers."""

    name: Literal["noise"] = "noise"
    on: _On = "train"
    deviation: _Positive


class Cutout(Spec):
    """Sets a square around a random pixel of an image to zero."""

    name: Literal["cutout"] = "cutout"
    on: _On = "train"
    size: _Count = Field(description="side of the square, in pixels; it may stand out over the edge")


class Mixup(Spec):
    """Mixes each sample with another one of its batch, and trains it on the targets of both (Zhang et al., 2018)."""

    name: Literal["mixup"] = "mixup"
    on: Literal["train"] = "train"
    alpha: _Positive = Field(default=0.2, description="of the distribution Beta(alpha, alpha) of the share of a sample")


class OwnTransform(Spec):
    """Calls a function of the user's: (inputs[, rows[, random]]) -> inputs."""

    name: Callable_
    on: _On = "train"
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of the function")


READY_MADE = ("normalise", "flip", "crop", "noise", "cutout", "mixup")
"""Names of the ready-made transforms."""


Transform = Annotated[
    Annotated[Normalise, Tag("normalise")]
    | Annotated[Flip, Tag("flip")]
    | Annotated[Crop, Tag("crop")]
    | Annotated[Noise, Tag("noise")]
    | Annotated[Cutout, Tag("cutout")]
    | Annotated[Mixup, Tag("mixup")]
    | Annotated[OwnTransform, Tag("user")],
    Discriminator(tag_of_name),
]


def _listed(value: Any) -> Any:
    """Turns one transform into a list, and names alone into transforms without options."""
    if value is None:
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return [{"name": each} if isinstance(each, str) else each for each in values]


def _mixed_last(given: tuple[Transform, ...]) -> tuple[Transform, ...]:
    if any(isinstance(each, Mixup) for each in given[:-1]):
        raise ValueError("`mixup` mixes what the others make of single samples: write it once, as the last one")
    return given


TransformList = Annotated[tuple[Transform, ...], BeforeValidator(_listed), AfterValidator(_mixed_last)]


def mixup_of(transforms: Sequence[Transform]) -> Mixup | None:
    """Returns the mixup of a list; None without."""
    return next((each for each in transforms if isinstance(each, Mixup)), None)


def of_single_samples(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Returns the transforms of a list but mixup, which alone needs the other samples of a batch."""
    return tuple(each for each in transforms if not isinstance(each, Mixup))


def is_complete(transform: Transform) -> bool:
    """Returns false for a transform whose numbers are still to be computed from the train samples."""
    return not isinstance(transform, Normalise) or transform.mean is not None


def with_numbers(transform: Transform, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Transform:
    """Returns a transform that was not complete, with its numbers."""
    return Normalise(mean=mean, deviation=deviation) if isinstance(transform, Normalise) else transform


def shape_problems(transforms: Sequence[Transform], sample: Shape) -> Iterator[str]:
    """Yields why samples of some shape cannot have some of the transforms."""
    for each in transforms:
        if isinstance(each, Flip | Crop | Cutout) and len(sample) != 3:
            text = f"{each.name} takes images of shape (channels, height, width)"
            yield f"{text}; the samples have shape {sample}, so leave it out or store images"
        elif isinstance(each, Cutout) and each.size > min(sample[1:]):
            yield f"cutout has size {each.size}, but the images are {sample[1]} x {sample[2]}; make it smaller"
        elif isinstance(each, Normalise) and each.mean is not None and len(each.mean) != (sample[0] if sample else 1):
            text = f"normalise has {len(each.mean)} means for samples of shape {sample}"
            yield f"{text}; write one for each index of their first axis"


def to_json(transforms: Sequence[Transform]) -> list[dict[str, Any]]:
    """Returns transforms as JSON values, from which `from_json` makes them again, bit by bit."""
    return [each.model_dump(mode="json") for each in transforms]


def from_json(values: Sequence[Mapping[str, Any]]) -> tuple[Transform, ...]:
    """Returns the transforms that `to_json` wrote.

    Raises:
        ValueError: the values are no transforms.
    """
    return TypeAdapter(TransformList).validate_python(list(values))
