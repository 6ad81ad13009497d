"""Networks as feature extractors (Appendix B)."""

from typing import Any

__all__ = ["VGGFeatures"]


def __getattr__(name: str) -> Any:
  """VGGFeatures, on demand: it alone needs scikit-learn."""
  if name in __all__:
    from vggjax.features import estimator

    return getattr(estimator, name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
