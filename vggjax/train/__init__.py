"""Training (Sect. 3.1, 3.3)."""
