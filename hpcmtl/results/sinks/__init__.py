"""Sinks: what shows the events of a run to people."""
