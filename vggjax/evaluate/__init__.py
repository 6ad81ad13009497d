"""Evaluation (Sect. 3.2)."""
