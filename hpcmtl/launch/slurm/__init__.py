"""Slurm: batch scripts, commands, states and site settings."""
