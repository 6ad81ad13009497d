"""Networks as feature extractors (Appendix B)."""
