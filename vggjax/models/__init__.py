"""Networks A to E (Sect. 2)."""
