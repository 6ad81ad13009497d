"""Every picture the program makes (matplotlib, drawn without a screen)."""

from vggjax.visualize.curves import (
  TRAIN_COLOR,
  VALIDATION_COLOR,
  curve_limits,
  learning_curves,
  network_curves,
  rate_drops,
)
from vggjax.visualize.feature_map import feature_map
from vggjax.visualize.figure import short_name
from vggjax.visualize.pictures import (
  BOX_COLOR,
  TRUE_BOX_COLOR,
  WRONG_COLOR,
  Located,
  heatmap,
  located,
  picture,
  picture_with_boxes,
  predictions,
)

__all__ = [
  "BOX_COLOR",
  "TRAIN_COLOR",
  "TRUE_BOX_COLOR",
  "VALIDATION_COLOR",
  "WRONG_COLOR",
  "Located",
  "curve_limits",
  "feature_map",
  "heatmap",
  "learning_curves",
  "located",
  "network_curves",
  "picture",
  "picture_with_boxes",
  "predictions",
  "rate_drops",
  "short_name",
]
