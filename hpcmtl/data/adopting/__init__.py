"""Adoption of plain HDF5 files where they lie: a small file gets their split, statistics and checksums."""
