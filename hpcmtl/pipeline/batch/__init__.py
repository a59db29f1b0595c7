"""Batch jobs: draft, submission, sweeps, and the decision after each attempt."""
