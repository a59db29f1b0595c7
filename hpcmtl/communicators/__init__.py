"""Communicators: messages between ranks, behind one seam over MPI and over threads.

Rooms above import from the modules: `base` (the seam), `mpi` and `inproc` (its adapters), `outcome` (errors that reach
all ranks) and `polling` (waiting for the next message).
"""
