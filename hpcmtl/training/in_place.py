"""Tells whether an object has changed, and gives it the content that it had before."""

from __future__ import annotations

import pickle
import random
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

COPIED = 64 << 20
"""Largest size in bytes of the arrays of an object that are copied, to give them back their content."""
_DEPTH = 20  # containers inside of each other
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_BLOCK = 512  # numbers of 8 bytes
_WEIGHTS = np.random.default_rng(0).integers(0, 2**63, _BLOCK, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_STREAMS: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.RandomState: (np.random.RandomState.get_state, np.random.RandomState.set_state),
    np.random.Generator: (
        lambda stream: stream.bit_generator.state,
        lambda stream, state: setattr(stream.bit_generator, "state", state),
    ),
}
"""Generators of random numbers, whose state is no attribute, and how it is read and set."""


@dataclass(frozen=True)
class Snapshot:
    """Holds the content of an object at one moment; equal to another one as long as the content is.

    Attributes:
        pickled: pickle of the object without its arrays.
        prints: fingerprint of each array.
        copies: bytes of each array; None where they were not copied.
    """

    pickled: bytes
    prints: tuple[tuple[int, int], ...]
    copies: tuple[bytearray, ...] | None = field(compare=False, default=None)

    def former(self) -> Any:
        """Returns a new object with this content.

        Raises:
            ValueError: its arrays were not copied.
        """
        if self.copies is None:
            raise ValueError("the arrays of this snapshot were not copied")
        return pickle.loads(self.pickled, buffers=map(bytearray, self.copies))  # noqa: S301 - made by this process


def snapshot(value: Any, *, copied: bool = True) -> Snapshot | None:
    """Returns the content of an object; None if it cannot be pickled.

    Args:
        value: the object.
        copied: whether its arrays are copied, up to `COPIED` bytes; otherwise they are only compared.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        # Arrays stay out of the pickle, which would hold them up to three times.
        pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        views = [each.raw() for each in buffers]
    except Exception:  # noqa: BLE001 - classes of users may raise anything
        return None
    kept = copied and sum(each.nbytes for each in views) <= COPIED
    return Snapshot(pickled, tuple(map(fingerprint, views)), tuple(map(bytearray, views)) if kept else None)


def fingerprint(values: NDArray[Any] | memoryview) -> tuple[int, int]:
    """Returns the size of a contiguous array, or of other memory, and a checksum of its bytes.

    Each block has a sum that a change of any one number changes; CRC-32 of these sums takes half the time of CRC-32.
    """
    if isinstance(values, np.ndarray):
        octets = values.reshape(-1).view(np.uint8)  # some types, such as times, have no buffer
    else:
        octets = np.frombuffer(values, np.uint8) if values.nbytes else np.empty(0, np.uint8)
    whole = len(octets) - len(octets) % (8 * _BLOCK)
    sums = np.einsum("ij,j->i", octets[:whole].view(np.uint64).reshape(-1, _BLOCK), _WEIGHTS)
    return len(octets), zlib.crc32(octets[whole:].tobytes(), zlib.crc32(sums.tobytes()))


def mark_of(value: Any) -> object:
    """Returns a value that is equal as long as another one is: its snapshot; its identity if it has none."""
    return snapshot(value, copied=False) or id(value)


def too_large(names: Iterable[str], remedy: str) -> InputError:
    """Returns the refusal of attributes that passes change, of which there is no copy.

    Args:
        names: the attributes, as ``Class.attribute``.
        remedy: place in which they would be kept.
    """
    text = f"a pass changes {', '.join(sorted(set(names)))}, which no checkpoint has"
    size = f"arrays of over {COPIED >> 20} MiB are not copied, to be set back after a trial"
    return InputError([Problem("model", f"{text} ({size}): keep such values in {remedy}")])


def set_back(value: Any, former: Any) -> Any:
    """Returns an object with the content of a copy that was made of it before; the object itself where it can change.

    Several users may hold one list or dict: a copy in its place would be seen by one of them alone.

    Args:
        value: the object.
        former: copy of it.
    """
    return _set_back(value, former, {}, 0)


def _set_back(value: Any, former: Any, done: dict[int, Any], depth: int) -> Any:
    """Does so with an object that lies in `depth` containers; those that are set back already are `done`, by id.

    A pass may have put one object in several places. It cannot have the former contents of all of them.
    """
    if type(value) is not type(former) or value is former or depth == _DEPTH or isinstance(value, _SCALARS):
        return former
    if id(value) in done:
        return value if mark_of(value) == mark_of(former) else former
    done[id(value)] = value
    if isinstance(value, list):
        inner = [_set_back(old, new, done, depth + 1) for old, new in zip(value, former, strict=False)]
        value[:] = inner + former[len(inner) :]
    elif isinstance(value, dict):
        entries = {key: _set_back(value.get(key), each, done, depth + 1) for key, each in former.items()}
        value.clear()
        value.update(entries)
    elif isinstance(value, set):
        value.clear()
        value.update(former)
    elif isinstance(value, deque):
        value.clear()
        value.extend(former)
    elif isinstance(value, np.ndarray) and value.shape == former.shape and value.flags.writeable:
        value[...] = former
    elif isinstance(value, tuple(_STREAMS)):
        get, put = next(each for kind, each in _STREAMS.items() if isinstance(value, kind))
        put(value, get(former))
    elif hasattr(value, "__dict__") and not hasattr(value, "__array__") and not isinstance(value, type):
        vars(value).clear()
        vars(value).update(vars(former))
    else:
        return former
    return value
