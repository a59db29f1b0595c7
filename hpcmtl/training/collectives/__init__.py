"""Collective operations over the ranks of a group: one module per adapter, one contract for all."""
