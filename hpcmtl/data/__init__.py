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
    from hpcmtl.data.sequences import sequences_of as sequences_of

__all__ = ["adopt", "seal", "sequences_of", "to_units"]


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
    if name == "sequences_of":
        from hpcmtl.data.sequences import sequences_of

        return sequences_of
    raise AttributeError(f"module 'hpcmtl.data' has no attribute {name!r}")
