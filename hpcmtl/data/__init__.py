"""Data files on disk and the order of training samples; imports numpy and h5py, but neither MPI nor a framework.

`hpcmtl.data.seal` makes a sealed file from tables, arrays, images and text, `hpcmtl.data.adopt` takes plain HDF5 files
where they lie; they are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcmtl.data.adopting.adopt import adopt as adopt
    from hpcmtl.data.sealing.seal import seal as seal
    from hpcmtl.data.sealing.undo import to_units as to_units

__all__ = ["adopt", "seal", "to_units"]


def __getattr__(name: str) -> Any:
    if name == "adopt":
        from hpcmtl.data.adopting.adopt import adopt

        return adopt
    if name == "seal":
        from hpcmtl.data.sealing.seal import seal

        return seal
    if name == "to_units":
        from hpcmtl.data.sealing.undo import to_units

        return to_units
    raise AttributeError(f"module 'hpcmtl.data' has no attribute {name!r}")
