"""Health of ranks: heartbeats, failure detection and fencing."""
