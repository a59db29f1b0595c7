"""The job file: what a person writes, checked and turned into frozen values."""
