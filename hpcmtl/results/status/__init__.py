"""The state of a run for people: progress, status file and status table."""
