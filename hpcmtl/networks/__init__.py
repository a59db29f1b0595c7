"""Descriptions of networks, their shapes and cost; no framework is imported."""
