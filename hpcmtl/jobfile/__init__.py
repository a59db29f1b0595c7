"""The job file: reads it, checks it, and turns it into frozen values."""
