"""Artifacts that tasks hand to each other: sealed files, transfer between ranks, and the parameter server."""
