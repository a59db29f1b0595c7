"""Malformed input, made from valid input by seeded random changes."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ODD = (
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    float("nan"),
    "",
    "nowhere",
    "../../etc",
    "\0",
    [],
    {},
    [None],
    {"a": {}},
    "é" * 400,
)
ODD_BYTES = (
    b"\0",
    b"\xff\xfe",
    b"{",
    b"]",
    b":",
    b"- ",
    b"\t",
    b'"',
    b"&a ",
    b"*a",
    b"!!python/object:os.system ",
    b"~",
    b"9",
)


def mangled_values(values: Any, number: int) -> Any:
    """Returns a copy of plain values with one to three of them replaced, removed, renamed or added."""
    chance = random.Random(number)
    values = copy.deepcopy(values)
    for _ in range(chance.choice((1, 1, 2, 3))):
        holder, key = chance.choice(list(_places(values)) or [({"": 0}, "")])
        what = chance.choice(("replace", "replace", "replace", "drop", "rename", "stranger"))
        if what == "replace":
            holder[key] = copy.deepcopy(chance.choice(ODD))
        elif what == "drop":
            del holder[key]
        elif isinstance(holder, dict):
            holder[f"{key}x" if what == "rename" else "stranger"] = holder.pop(key) if what == "rename" else 1
    return values


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Yields every place in nested values, as its holder and its key."""
    for key in values if isinstance(values, dict) else range(len(values)):
        yield values, key
        if isinstance(values[key], dict | list):
            yield from _places(values[key])


def mangled_bytes(content: bytes, number: int) -> bytes:
    """Returns a copy of a file's bytes that is truncated or has other bytes in it."""
    chance = random.Random(number)
    place = chance.randrange(max(len(content), 1))
    length = chance.choice((0, 1, 3, 40, 400))
    what = chance.choice(("cut", "cut", "insert", "replace", "flip", "empty", "zeros"))
    if what == "cut":
        return content[:place]
    if what == "empty":
        return b""
    if what == "zeros":
        return content[:place] + bytes(length) + content[place + length :]
    if what == "flip":
        return (
            content[:place]
            + bytes(byte ^ (1 << chance.randrange(8)) for byte in content[place : place + 3])
            + content[place + 3 :]
        )
    odd = chance.choice(ODD_BYTES)
    return content[:place] + odd + content[place + (length if what == "replace" else 0) :]


def mangled_json(content: bytes, number: int) -> bytes:
    """Returns a JSON file with other values in it, or with damaged bytes."""
    if number % 3:
        return json.dumps(mangled_values(json.loads(content), number)).encode()
    return mangled_bytes(content, number)


def mangled_lines(content: bytes, number: int) -> bytes:
    """Returns a file of one JSON object per line, with other values in one line, or with damaged bytes."""
    if number % 3 == 0:
        return mangled_bytes(content, number)
    lines = content.splitlines(keepends=True)
    place = random.Random(number).randrange(len(lines))
    lines[place] = json.dumps(mangled_values(json.loads(lines[place]), number)).encode() + b"\n"
    return b"".join(lines)


def mangled_text(make: Callable[[Any], str], values: Any, number: int) -> bytes:
    """Returns a text file made by `make` from changed values, or with damaged bytes."""
    if number % 3:
        return make(mangled_values(values, number)).encode()
    return mangled_bytes(make(values).encode(), number)
