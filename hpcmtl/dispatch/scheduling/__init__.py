"""Schedulers: which layers start next, and on which ranks."""
