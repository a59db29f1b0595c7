"""Records of TensorBoard's event files: scalars by step, as protocol buffers in frames with checksums.

The formats are those of TensorFlow: ``event.proto``, ``summary.proto``, ``record_writer.h``. The usual packages that
write them take seconds to import, on the rank that dispatches the job.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_VERSION = b"brain.Event:2"
_START = 1  # SessionLog.START: a reader drops what it has of this step and of later ones
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected


def version_record(wall_time: float) -> bytes:
    """Returns the record that begins a file."""
    return _framed(_double(1, wall_time) + _text(3, _VERSION))


def start_record(wall_time: float, step: int) -> bytes:
    """Returns the record by which a resumed training replaces the values of `step` and of later steps."""
    return _framed(_double(1, wall_time) + _number(2, step) + _text(7, _number(1, _START)))


def scalars_record(wall_time: float, step: int, values: Mapping[str, float]) -> bytes:
    """Returns the record of some values by tag at a step."""
    summary = b"".join(_text(1, _text(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
    return _framed(_double(1, wall_time) + _number(2, step) + _text(5, summary))


def _framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    """Returns the masked CRC-32C of some bytes."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _table() -> Sequence[int]:
    return [_of_byte(byte) for byte in range(256)]


def _of_byte(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _text(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | _DOUBLE) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | _FLOAT) + struct.pack("<f", value)
