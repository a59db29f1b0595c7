"""Who talks to whom: one seam over MPI and over threads, and the blocks of ranks that layers run on.

Rooms above import from the modules: `base` (the seam), `mpi` and `inproc` (its adapters), `groups` (free ranks),
`outcome` (errors that all ranks learn of) and `mailbox` (waiting for the next message).
"""
