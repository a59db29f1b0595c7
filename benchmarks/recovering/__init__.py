"""The parts of `recovery.py`."""
