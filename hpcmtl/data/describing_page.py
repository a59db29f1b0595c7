"""A report on a data file as a page of HTML in one file, with small pictures."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.describing import report_lines
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.data.describing import ArrayReport, FileReport

_STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}"
    "td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left}td.n{text-align:right}"
    "img{image-rendering:pixelated;height:96px;margin:2px;border:1px solid #ddd}code{overflow-wrap:anywhere}"
)


def write_page(path: Path, found: FileReport) -> None:
    """Writes the page.

    Raises:
        InputError: the folder does not exist.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise InputError([Problem(str(path), "cannot be written; name a file in a folder that exists")])
    path.write_text(page_of(found), encoding="utf-8")


def page_of(found: FileReport) -> str:
    """Returns the page as text; all that comes from the file is escaped."""
    sizes = [("split", "samples"), *((name, str(count)) for name, count in found.splits.items())]
    about = [("attribute", "value"), *found.attributes.items()] if found.attributes else []
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_escaped(found.path.name)}</title>',
        f"<style>{_STYLE}</style><h1>{_escaped(found.path.name)}</h1>",
        f"<p>{_escaped(report_lines(found)[0])}</p>",
        _table(sizes),
        _table(about),
        *(_section(each) for each in found.arrays),
    ]
    return "\n".join([*parts, "</html>"])


def _section(each: ArrayReport) -> str:
    facts: list[tuple[str, str]] = [
        ("property", "value"),
        ("stored", f"{each.dtype}, shape {each.shape}"),
        ("networks get", each.delivered),
        ("samples in a chunk", str(each.chunk)),
        ("bytes", f"{each.bytes:,}"),
        ("range", "no value" if each.low is None else f"{each.low:.6g} to {each.high:.6g}"),
    ]
    facts += [("units", each.units)] if each.units is not None else []
    facts += [("missing", str(each.missing))] if each.missing is not None else []
    facts += [("NaN or Inf", str(each.not_finite))] if each.not_finite else []
    pictures = "".join(f'<img alt="sample" src="{picture_url(pixels)}">' for pixels in each.pictures)
    samples = "" if pictures else "".join(f"<li><code>{_escaped(text)}</code></li>" for text in each.first)
    return "\n".join(
        [
            f"<h2>{_escaped(each.name)}</h2>",
            _table(facts),
            _counts(each.class_counts),
            f"<p>{pictures}</p><ol>{samples}</ol>",
        ]
    )


def _counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    if not counts:
        return ""
    splits = list(counts)
    names = list(counts[splits[0]])
    return _table([("class", *splits), *((name, *(str(counts[split][name]) for split in splits)) for name in names)])


def _table(rows: Any) -> str:
    if not rows:
        return ""
    head, *others = rows
    lines = ["<table><tr>" + "".join(f"<th>{_escaped(cell)}</th>" for cell in head) + "</tr>"]
    for row in others:
        cells = (f"<td{' class=n' if cell.isdecimal() else ''}>{_escaped(cell)}</td>" for cell in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>"])


def _escaped(text: str) -> str:
    return html.escape(text)


def picture_url(pixels: NDArray[np.uint8]) -> str:
    """Returns an image (channels, height, width) as the URL of a PNG, which holds its bytes."""
    channels, height, width = pixels.shape
    rows = np.moveaxis(pixels, 0, -1).reshape(height, width * channels)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    packed = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + packed).decode()
