"""Parts of `recovery.py`."""
