"""Prints the algorithm of the reduce-scatter with which Open MPI started, as its tool interface has it."""

import ctypes

from hpcmtl.communicators.mpi import world

world()

from mpi4py import MPI  # noqa: E402 - `world` starts MPI

library = ctypes.CDLL(MPI.__file__)
number, handle, count, value = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int(-1)
library.MPI_T_init_thread(0, ctypes.byref(ctypes.c_int()))
library.MPI_T_cvar_get_index(b"coll_tuned_reduce_scatter_block_algorithm", ctypes.byref(number))
library.MPI_T_cvar_handle_alloc(number, None, ctypes.byref(handle), ctypes.byref(count))
library.MPI_T_cvar_read(handle, ctypes.byref(value))
print(f"algorithm {value.value}", flush=True)
