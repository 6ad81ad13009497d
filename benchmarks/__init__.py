"""Timings: `python -m benchmarks.NAME`; the last line is `ratio X.XX`."""
