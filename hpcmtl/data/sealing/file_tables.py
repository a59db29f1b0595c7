"""Tables that are no files of tables: a folder of images, and the lines of a text file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.keys import random_keys
from hpcmtl.data.sealing.cells import Cells, TableBlock
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
IMAGES, CLASS, TEXT = "images", "class", "text"
_ROWS = 256
_LINE_BYTES = 1 << 20


class ImageFolder:
    """A folder of images, whose sub-folders are classes; see `TableSource`.

    The order of the files is shuffled, as neighbours would be of one class.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.folder = path
        folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
        found = [(image, "") for image in _images(path)]
        if folders and found:
            both = f"images ({found[0][0].name}) and folders ({folders[0].name})"
            message = f"has {both} side by side; put images into folders of classes"
            raise InputError([Problem(self.where, message)])
        found += [(image, folder.name) for folder in folders for image in _images(folder)]
        if not found:
            endings = ", ".join(sorted(IMAGE_ENDINGS))
            raise InputError([Problem(self.where, f"has no image, nor have its folders; images end in {endings}")])
        order = np.argsort(random_keys(np.arange(len(found)), 0), kind="stable")
        self._paths = np.array([str(found[place][0].relative_to(path)) for place in order], dtype=object)
        self._classes = np.array([found[place][1] for place in order], dtype=object) if folders else None

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """See `TableSource`."""
        rows = len(self._paths)
        for start in range(0, rows, _ROWS):
            columns = {IMAGES: _text(self._paths[start : start + _ROWS])}
            if self._classes is not None:
                columns[CLASS] = _text(self._classes[start : start + _ROWS])
            stop = min(start + _ROWS, rows)
            chosen = columns if names is None else {name: columns[name] for name in names}
            yield TableBlock(start=start, rows=stop - start, columns=chosen, done=stop / rows)


def _images(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in IMAGE_ENDINGS and each.is_file())


def _text(values: object) -> Cells:
    words, places = np.unique(np.asarray(values, dtype=object), return_inverse=True)
    return Cells(values=places, missing=np.zeros(len(places), np.bool_), words=words)


class TextLines:
    """The lines of a text file in UTF-8, in one column `text`; see `TableSource`."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.folder = path.parent
        self._path = path

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:  # noqa: ARG002 - there is one
        """See `TableSource`."""
        start, done, size = 0, 0, max(self._path.stat().st_size, 1)
        with self._path.open("rb") as file:
            while lines := file.readlines(_LINE_BYTES):
                done += sum(map(len, lines))
                cells = _text([self._decoded(line, start + number) for number, line in enumerate(lines)])
                yield TableBlock(start=start, rows=len(lines), columns={TEXT: cells}, done=min(done / size, 1.0))
                start += len(lines)

    def _decoded(self, line: bytes, number: int) -> str:
        try:
            return line.rstrip(b"\r\n").decode("utf-8-sig" if number == 0 else "utf-8")
        except UnicodeDecodeError as error:
            message = f"is not UTF-8 ({error.reason} at byte {error.start + 1}); convert the file, e.g. by iconv"
            raise InputError([Problem(self.where, message, number + 1)]) from error
