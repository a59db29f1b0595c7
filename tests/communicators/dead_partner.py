"""Program of three ranks: one waits for another, which waits for the third, which dies; a copy revokes itself.

Rank 0 exchanges nothing with the rank that dies, so that only a revocation tells it.
"""

from __future__ import annotations

import threading

import numpy as np
from mpi4py import MPI

from hpcmtl.communicators.mpi import MpiCommunicator, world
from hpcmtl.communicators.revoking import SECONDS_TO_SETTLE, copies_revoke_themselves
from hpcmtl.communicators.shutdown import leave

comm = world()
assert isinstance(comm, MpiCommunicator)
with copies_revoke_themselves(comm):
    copy = comm.native.Dup()
    copy.Set_errhandler(comm.native.Get_errhandler())  # mpi4py gives its own one to what it makes; a C library does not
copy.Barrier()
threading.Event().wait(2 * SECONDS_TO_SETTLE)  # younger copies are not revoked
copy.Barrier()
if comm.rank == 2:
    comm.die()
found = ""
try:
    copy.Recv(np.zeros(1), source=comm.rank + 1)
except MPI.Exception as error:
    found = {MPI.ERR_PROC_FAILED: "failed", MPI.ERR_REVOKED: "revoked"}.get(error.Get_error_class(), str(error))
print(f"rank {comm.rank}: {found}, {comm.is_revoked()}", flush=True)
if comm.rank == 0:
    comm.send("said", 1)
else:
    comm.recv(0)  # before the revocation of all, which would be in the other rank's line
comm.revoke()
leave(comm, 0)
