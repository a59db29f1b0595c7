"""Solvers: allocation, packing, bounds and policies."""
