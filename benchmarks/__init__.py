"""Whole fits of several systems, side by side; ``python -m benchmarks.run`` times them."""
