"""Asks MXNet whether oneDNN has rearranged an array."""

from __future__ import annotations

from typing import Any

from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()


def has_default_layout(array: Any) -> bool:
    """Say whether the raw memory of an NDArray can be taken (DLPack asks for it and refuses a foreign layout)."""
    try:
        array.to_dlpack_for_read()
    except mx.MXNetError as error:
        if "MKLDNN" in str(error):
            return False
        raise
    return True
