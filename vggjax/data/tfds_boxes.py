"""The bounding boxes of a data set of tensorflow_datasets (App. A)."""

import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from vggjax.data.boxes import boxes_of_fractions
from vggjax.data.cache import cache_path, read_json, write_json
from vggjax.data.reading import each
from vggjax.data.records import Source
from vggjax.errors import InputError


def check_objects(spec: str, features: tfds.features.FeaturesDict) -> None:
  """Raise InputError unless each image has objects with a box and a label."""
  objects = dict(features.items()).get("objects")
  inner = objects.feature if isinstance(objects, tfds.features.Sequence) else {}
  is_dict = isinstance(inner, tfds.features.FeaturesDict)
  found = dict(inner.items()) if is_dict else {}
  bbox, label = found.get("bbox"), found.get("label")
  if not (
    isinstance(bbox, tfds.features.BBoxFeature)
    and bbox.bbox_format == tfds.features.BBoxFeature().bbox_format
    and isinstance(label, tfds.features.ClassLabel)
    and label.names == features["label"].names
  ):
    raise InputError(
      f"{spec}: has no boxes: it needs a feature objects, a sequence of bbox "
      "(fractions ymin, xmin, ymax, xmax) and label, of the classes of the "
      f"images; it has {', '.join(features)}"
    )


def own_boxes(
  bbox: tf.Tensor, labels: tf.Tensor, label: tf.Tensor, name: tf.Tensor
) -> tf.Tensor:
  """The boxes of the image's own class: float32 [n, 4], as in a record.

  Args:
    bbox: float32 [m, 4]: ymin, xmin, ymax, xmax as fractions of the image.
    labels: int64 [m], of the objects.
    label: int64 scalar, of the image.
    name: string scalar, of the image, for the message.
  """
  mine = tf.boolean_mask(bbox, labels == label)
  return boxes_of_fractions(tf.gather(mine, [1, 0, 3, 2], axis=1), name)


def without_own_boxes(
  source: Source, cache_dir: str | os.PathLike | None
) -> list[int]:
  """The indices of the examples whose records have no box.

  By one pass; the result is cached by the source's fingerprint.

  Raises:
    InputError: if that is every example.
  """
  path = cache_path("without_boxes", source.fingerprint, cache_dir)
  positions = read_json(path)
  if positions is None:
    counts = list(each(source, lambda record: tf.shape(record["boxes"])[0]))
    positions = np.flatnonzero(np.array(counts) == 0).tolist()
    write_json(path, positions)
  if len(positions) == source.num_examples:
    raise InputError(
      f"{source.spec}: no image of {source.split} has a box of its class"
    )
  return positions
