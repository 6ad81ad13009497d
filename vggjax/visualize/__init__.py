"""Every picture the program makes (matplotlib, drawn without a screen)."""

from vggjax.visualize.curves import (
  TRAIN_COLOR,
  VALIDATION_COLOR,
  curve_limits,
  learning_curves,
  network_curves,
  rate_drops,
)
from vggjax.visualize.figure import short_name
from vggjax.visualize.pictures import (
  WRONG_COLOR,
  heatmap,
  picture,
  predictions,
)

__all__ = [
  "TRAIN_COLOR",
  "VALIDATION_COLOR",
  "WRONG_COLOR",
  "curve_limits",
  "heatmap",
  "learning_curves",
  "network_curves",
  "picture",
  "predictions",
  "rate_drops",
  "short_name",
]
