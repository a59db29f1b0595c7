"""Synchronisation strategies: when and how the replicas of a group exchange gradients or parameters."""
