"""Attributes that code of users changes: those of an optimizer as arrays of a checkpoint, those of blocks for a note.

MXNet keeps the arrays that `create_state` returns. Whatever else an optimizer remembers from update to update
(counters, arrays in a dict) lives in its attributes. Numbers, text, arrays, and lists, tuples and dicts of them are
kept. An attribute of another type that an update changes is refused: a resumed training would have its first value.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.code_state import CodeState
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.in_place import COPIED, fingerprint, mark_of, set_back, too_large

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays

mx = import_mxnet()

STRUCTURE = "attributes"
"""Name of the array that holds the structure, as JSON in bytes."""
NOT_KEPT = (
    "the Python code of a compiled network or loss runs in its first pass alone, and what it remembers is in no "
    "checkpoint: keep such values in a Parameter with `grad_req='null'`"
)
"""What it means that a pass changes attributes of blocks."""

_ARRAY = "attributes."  # followed by its number
_PLAIN = (bool, int, float, str, type(None))


class UnkeptAttributes:
    """Tells which attributes of an object have changed since this was made, and packs them.

    Args:
        owner: the object.
        ignored: names of attributes that are kept elsewhere, or set by hpcmtl.
    """

    def __init__(self, owner: object, ignored: frozenset[str]) -> None:
        self._owner, self._ignored = owner, ignored
        self._first = {name: _state(value) for name, value in self._attributes().items()}

    def arrays(self) -> Arrays:
        """Returns the changed attributes as arrays; none if nothing has changed.

        Raises:
            InputError: an attribute of a type that cannot be kept has changed.
        """
        changed = {name: value for name, value in self._attributes().items() if self._has_changed(name, value)}
        if not changed:
            return {}
        arrays: Arrays = {}
        structure = {name: _packed(value, name, arrays) for name, value in changed.items()}
        arrays = {name: array.copy() for name, array in arrays.items()}
        return {**arrays, STRUCTURE: np.frombuffer(json.dumps(structure).encode(), np.uint8)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Sets the attributes to what `arrays` returned, and all others to their first values."""
        structure = json.loads(np.asarray(arrays[STRUCTURE]).tobytes()) if STRUCTURE in arrays else {}
        for name, value in self._attributes().items():
            first = self._first.get(name)
            if first is None:
                delattr(self._owner, name)  # an update has made it
            elif first.structure is not None and first.arrays is not None and self._has_changed(name, value):
                setattr(self._owner, name, _unpacked(first.structure, first.arrays))
        for name, packed in structure.items():
            setattr(self._owner, name, _unpacked(packed, arrays))

    def _attributes(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self._owner).items() if name not in self._ignored}

    def _has_changed(self, name: str, value: Any) -> bool:
        return name not in self._first or self._first[name].mark != _mark(value)


class _State(NamedTuple):
    """Holds the state of an attribute at one moment.

    Attributes:
        structure: packed form; None for a value that cannot be kept.
        arrays: copies of the arrays of the packed form; None where they are too large.
        mark: a value that is equal as long as the attribute is; for what cannot be pickled that is its identity.
    """

    structure: Any
    arrays: Arrays | None
    mark: object


def _packed_state(value: Any, most: float = math.inf) -> _State | None:
    """Returns the state of a value that can be kept; None, without a look into it, for any other.

    Args:
        value: the value.
        most: largest size in bytes of arrays that are copied.
    """
    arrays: Arrays = {}
    try:
        structure = _packed(value, "", arrays)
    except InputError:
        return None
    contents = ((name, str(each.dtype), fingerprint(each)) for name, each in arrays.items())
    mark = (json.dumps(structure), *contents)
    is_small = sum(each.nbytes for each in arrays.values()) <= most
    return _State(structure, {name: each.copy() for name, each in arrays.items()} if is_small else None, mark)


def _state(value: Any) -> _State:
    return _packed_state(value) or _State(None, {}, mark_of(value))


def _mark(value: Any) -> object:
    """Returns a value that is equal as long as another one is."""
    found = _packed_state(value, most=-1)
    return mark_of(value) if found is None else found.mark


def _packed(value: Any, name: str, arrays: Arrays) -> Any:
    """Returns the structure of a value for JSON; its arrays are added to `arrays`, of which some share its memory."""
    if type(value) in _PLAIN:
        return {"plain": value}
    if isinstance(value, (mx.nd.NDArray, np.ndarray, np.generic)):
        kind = "nd" if isinstance(value, mx.nd.NDArray) else "numpy" if isinstance(value, np.ndarray) else "scalar"
        array = value.asnumpy() if isinstance(value, mx.nd.NDArray) else np.asarray(value)
        if array.dtype.hasobject:
            raise _refusal(name, value)
        key = f"{_ARRAY}{len(arrays)}"
        arrays[key] = np.ascontiguousarray(array).reshape(-1)
        return {kind: key, "shape": array.shape}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_packed(each, name, arrays) for each in value]}
    if type(value) is dict and all(type(key) in _PLAIN for key in value):
        return {"dict": [[key, _packed(each, name, arrays)] for key, each in value.items()]}
    raise _refusal(name, value)


def _unpacked(packed: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    kind, content = next(iter(packed.items()))
    if kind == "plain":
        return content
    if kind in {"list", "tuple"}:
        values = [_unpacked(each, arrays) for each in content]
        return values if kind == "list" else tuple(values)
    if kind == "dict":
        return {key: _unpacked(each, arrays) for key, each in content}
    array = np.array(arrays[content]).reshape(packed["shape"])
    if kind == "nd":
        return mx.nd.array(array, dtype=array.dtype)
    return array[()] if kind == "scalar" else array


def _refusal(name: str, value: object) -> InputError:
    text = f"its attribute {name} is a {type(value).__name__}, which a checkpoint cannot hold, and an update changes it"
    remedy = "keep arrays that `create_state` returns, or numbers, arrays, lists, tuples and dicts of them"
    return InputError([Problem("optimizer", f"{text}: a resumed training would go on without it; {remedy}")])


_OF_BLOCKS = frozenset(vars(mx.gluon.nn.HybridSequential())) | {"_in_format", "_out_format", "_cached_op_args"}
"""Names of the attributes that every block has or gets."""


def is_kept_elsewhere(value: object) -> bool:
    """Returns whether a value is a parameter or a block."""
    return isinstance(value, mx.gluon.Parameter | mx.gluon.Block)


class BlockAttributes:
    """Holds what passes may change in blocks of the user's and no checkpoint has, as it is now.

    That are attributes that can be packed, private ones too, and what functions remember, see `CodeState`.

    Args:
        blocks: blocks, with all blocks inside them.
    """

    def __init__(self, blocks: Iterable[Any]) -> None:
        blocks = list(blocks)
        self._code = CodeState(_all_blocks(blocks), is_kept_elsewhere)
        self._before = {
            (id(block), name): (block, value, state)
            for block in _own_blocks(blocks)
            for name, value in vars(block).items()
            if name not in _OF_BLOCKS and (state := _packed_state(value, COPIED)) is not None
        }

    def restore(self) -> list[str]:
        """Sets to their former values what has changed, and returns the names: ``Class.attribute`` for an attribute.

        Raises:
            InputError: one is too large to be copied, and has changed.
        """
        changed, large = [], []
        for (_, name), (block, value, before) in self._before.items():
            if _mark(vars(block).get(name)) == before.mark:
                continue
            changed.append(f"{type(block).__name__}.{name}")
            if before.arrays is None:
                large.append(changed[-1])
            else:
                setattr(block, name, set_back(value, _unpacked(before.structure, before.arrays)))
        if large:
            raise too_large(large, "a Parameter with `grad_req='null'`")
        return sorted({*changed, *self._code.restore()})


def _all_blocks(blocks: Iterable[Any]) -> Iterator[Any]:
    for block in blocks:
        yield block
        yield from _all_blocks(block._children.values())  # noqa: SLF001 - has no other name


def _own_blocks(blocks: Iterable[Any]) -> Iterator[Any]:
    return (each for each in _all_blocks(blocks) if not type(each).__module__.startswith(("mxnet.", "hpcmtl.")))
