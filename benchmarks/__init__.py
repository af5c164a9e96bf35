"""Whole fits of several systems, side by side; ``python benchmarks/run.py`` times them."""
