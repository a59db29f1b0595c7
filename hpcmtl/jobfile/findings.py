"""Findings: problems of a job before file and line are added to them."""

from __future__ import annotations

Finding = tuple[tuple[str, ...], str]
"""Path of keys in the job file, and the message (or, for a reference, the reference)."""
