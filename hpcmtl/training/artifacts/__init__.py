"""Artifacts of tasks: inputs from other tasks, publication, self-description, and loading without a job."""
