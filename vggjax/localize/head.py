"""The last layer that predicts a box, and its loss (App. A.1).

Its outputs are (center x, center y, width, height), fractions of the crop, the
center relative to the crop's: 4, shared by all classes (single-class
regression, "scr"), or 4 for each class (per-class regression, "pcr"), those of
class k from 4k on.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vggjax import geometry
from vggjax.metrics import MIN_IOU

REGRESSIONS = ("scr", "pcr")


def num_outputs(objective: str, num_classes: int) -> int:
  """Channels of the last layer for "classes", "scr" or "pcr"."""
  return {"classes": num_classes, "scr": 4, "pcr": 4 * num_classes}[objective]


def class_outputs(
  scores: jax.Array, classes: jax.Array, regression: str
) -> jax.Array:
  """The outputs that are of given classes.

  Args:
    scores: float [n, h, w, num_outputs].
    classes: int32 [n, k].
    regression: one of REGRESSIONS.

  Returns:
    float [n, h, w, k, 4].
  """
  outputs = scores.reshape(*scores.shape[:3], -1, 4)
  if regression == "scr":
    return jnp.repeat(outputs, classes.shape[1], axis=3)
  return jnp.take_along_axis(
    outputs, classes[:, None, None, :, None], axis=3, mode="clip"
  )


def box_loss(
  scores: jax.Array, batch: dict[str, jax.Array], *, regression: str
) -> dict[str, jax.Array]:
  """Euclidean loss of the true class's box, and its error, by example.

  Args:
    scores: float [n, 1, 1, num_outputs], of one crop an example.
    batch: label: int32 [n]; box: float32 [n, 4], the true one as the outputs
      are coded; box_weight: float32 [n], 0 where the crop does not show it.
    regression: one of REGRESSIONS.

  Returns:
    loss [n], half the squared distance times the weight; localization_error
    [n], 100 where the predicted and the true box overlap by half (IoU) or less.
  """
  outputs = class_outputs(scores, batch["label"][:, None], regression)
  outputs = outputs[:, 0, 0, 0]
  distance = jnp.sum(jnp.square(outputs - batch["box"]), axis=-1)
  found, true = (
    geometry.decode_boxes(coded, 1) for coded in (outputs, batch["box"])
  )
  return {
    "loss": 0.5 * distance * batch["box_weight"],
    "localization_error": 100.0 * (geometry.iou(found, true) <= MIN_IOU),
  }


def scr_loss(scores: jax.Array, batch: dict) -> dict[str, jax.Array]:
  """`box_loss` of a box that all classes share."""
  return box_loss(scores, batch, regression="scr")


def pcr_loss(scores: jax.Array, batch: dict) -> dict[str, jax.Array]:
  """`box_loss` of a box for each class."""
  return box_loss(scores, batch, regression="pcr")


LOSSES: dict[str, Callable] = {"scr": scr_loss, "pcr": pcr_loss}
