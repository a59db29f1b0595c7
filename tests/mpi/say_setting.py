"""Prints settings with which Open MPI started, as its tool interface has them: algorithm, or components with `coll`."""

import ctypes
import sys

from hpcmtl.communicators.mpi import world

world()

from mpi4py import MPI  # noqa: E402 - `world` starts MPI

library = ctypes.CDLL(MPI.__file__)
library.MPI_T_init_thread(0, ctypes.byref(ctypes.c_int()))


def read(name, value):
    """Reads a variable of the tool interface into a value of ctypes."""
    number, handle, count = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
    library.MPI_T_cvar_get_index(name, ctypes.byref(number))
    library.MPI_T_cvar_handle_alloc(number, None, ctypes.byref(handle), ctypes.byref(count))
    library.MPI_T_cvar_read(handle, ctypes.byref(value))
    return value.value


if sys.argv[1:] == ["coll"]:
    print(f"components {read(b'coll', ctypes.create_string_buffer(4096)).decode()}", flush=True)
else:
    print(f"algorithm {read(b'coll_tuned_reduce_scatter_block_algorithm', ctypes.c_int(-1))}", flush=True)
