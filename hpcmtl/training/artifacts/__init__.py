"""Artifacts as task inputs and outputs."""
