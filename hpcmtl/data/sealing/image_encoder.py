"""Encoder of image files: uint8, channel first, with the scale 1/255; the one module that imports Pillow."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.cells import words_of
from hpcmtl.data.sealing.encoder import EncoderBase, OutputArray
from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays, Bools
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.rules import ColumnRule

_CHANNELS = {"grey": 1, "rgb": 3}
_GREY = frozenset({"1", "L", "LA", "I", "I;16", "F"})


class _UnreadableImageError(Exception):
    """An image file cannot be used; the message is the rest of a sentence."""


def pillow() -> ModuleType:
    """Returns the module `PIL.Image`.

    Raises:
        EnvironmentUnfitError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise EnvironmentUnfitError(f"images need Pillow ({error}): pip install 'hpcmtl[data]'") from error
    return Image


class ImageEncoder(EncoderBase):
    """Reads image files whose paths are in a column."""

    def __init__(self, where: str, name: str, rule: ColumnRule, folder: Path) -> None:
        super().__init__(where, name, rule)
        self._folder = folder
        self._size = rule.size
        self._mode = rule.mode
        self._count = 0
        self._image = pillow()

    def see(self, cells: Cells, train: Bools, start: int) -> None:
        """See `ColumnEncoder`."""
        self.count_missing(cells.missing, start)
        places, words = words_of(cells)
        for row in np.flatnonzero(~cells.missing):
            try:
                self._look(words[places[row]])
            except _UnreadableImageError as error:
                self.findings.note(error.args[1], np.array([row]), start, error.args[0])

    def _look(self, name: str) -> None:
        """Reads size and mode of an image from its head, and compares them with those of the first one."""
        with self._opened(name) as image:
            size, mode = (image.height, image.width), "grey" if image.mode in _GREY else "rgb"
        self._mode = self._mode or mode
        self._count += 1
        if self.rule.size is None:
            self._size = self._size or size
            if size != self._size:
                of_first = f"{self._size[0]} x {self._size[1]}"
                found = f"{self._folder / name} has {size[0]} x {size[1]} pixels, the first image {of_first}"
                raise _UnreadableImageError(found, "give `size: [height, width]`, to which all images are resized")
        if self.rule.mode is None and mode == "rgb" and self._mode == "grey":
            found = f"{self._folder / name} has colours, the first image is grey"
            raise _UnreadableImageError(found, "write `mode: grey` or `mode: rgb`")

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        path = self._folder / name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of images that are so large that they may be an attack
                with self._image.open(path) as image:
                    yield image
        except _UnreadableImageError:
            raise
        except FileNotFoundError as error:
            raise _UnreadableImageError(f"names {path}, which does not exist", "correct the path") from error
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _UnreadableImageError(
                f"{path} cannot be read as an image ({reason})", "replace or remove the file"
            ) from error

    def fix(self) -> None:
        """See `ColumnEncoder`."""
        if not self._count:
            self.findings.note(
                "leave the column out (`kind: skip`)", np.zeros(1, np.int64), 0, "has no image, nor has another"
            )

    def outputs(self) -> dict[str, OutputArray]:
        """See `ColumnEncoder`."""
        shape = (_CHANNELS[self._mode or "grey"], *(self._size or (1, 1)))
        attributes = {"scale": 1 / 255, "units": "brightness, 0 to 1"}
        return self.with_mask_output(
            {self.name: OutputArray(shape=shape, dtype=np.dtype(np.uint8), attributes=attributes)}
        )

    def encode(self, cells: Cells, start: int) -> Arrays:
        """See `ColumnEncoder`."""
        places, words = words_of(cells)
        pixels = np.zeros((len(places), *self.outputs()[self.name].shape), np.uint8)
        for row in np.flatnonzero(~cells.missing):
            try:
                pixels[row] = self._pixels(words[places[row]])
            except _UnreadableImageError as error:
                self.findings.note(error.args[1], np.array([row]), start, error.args[0])
        return self.with_mask({self.name: pixels}, cells.missing)

    def _pixels(self, name: str) -> NDArray[np.uint8]:
        """Returns the pixels of an image, channel first."""
        with self._opened(name) as opened:
            image = opened
            if image.mode.startswith("I;16"):  # the 16 bits would be cut off at 255
                image = self._image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("L" if self._mode == "grey" else "RGB")
            height, width = self._size or (image.height, image.width)
            if (image.height, image.width) != (height, width):
                image = image.resize((width, height), self._image.Resampling.BILINEAR)
            values = np.asarray(image, np.uint8)
        return values[np.newaxis] if values.ndim == 2 else np.moveaxis(values, -1, 0)

    def summary(self) -> str:
        """See `ColumnEncoder`."""
        height, width = self._size or (0, 0)
        resized = ", resized" if self.rule.size else ""
        return f"{self._count} images, {self._mode}, {height} x {width}{resized}"
