"""Kinds of tasks, one object each: keys, inputs, outputs, work, checks and session.

These modules are imported to validate a job file, so that they import neither numpy, HDF5, MPI nor a framework; the
session of a kind is imported when it is opened.
"""
