"""The runtime of one rank: control thread, worker thread and what they share."""
