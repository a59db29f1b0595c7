"""Transforms of the samples that a network takes: ready-made ones, and functions of users."""
