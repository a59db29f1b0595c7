"""Schedulers: they choose the layers that start next, and their ranks."""
