"""Builders of the data sets of the examples; run each as a script or by `python -m datasets.NAME`."""
