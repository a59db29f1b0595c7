"""The ends of attempts and of jobs."""
