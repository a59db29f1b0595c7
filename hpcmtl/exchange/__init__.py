"""Artifacts: what tasks hand each other, sealed in files and shared inside a group."""
