"""Membership of the world: survivors of a loss and the rebuilt communicators."""
