"""Localization: networks that predict boxes, and what is made of them."""
