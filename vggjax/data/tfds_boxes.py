"""The bounding boxes of a data set of tensorflow_datasets (App. A)."""

import functools
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
    _is_box(bbox)
    and isinstance(label, tfds.features.ClassLabel)
    and label.names == features["label"].names
  ):
    raise InputError(
      f"{spec}: has no boxes: it needs a feature objects, a sequence of bbox "
      "(fractions ymin, xmin, ymax, xmax) and label, of the classes of the "
      f"images; it has {', '.join(features)}"
    )


def check_bbox(spec: str, features: tfds.features.FeaturesDict) -> None:
  """Raise InputError unless each example has a box of its own."""
  if not _is_box(dict(features.items()).get("bbox")):
    raise InputError(
      f"{spec}: has no box an example: to be multi-label with boxes it needs "
      "a feature bbox (fractions ymin, xmin, ymax, xmax); it has "
      f"{', '.join(features)}"
    )


def _is_box(feature: tfds.features.FeatureConnector | None) -> bool:
  return (
    isinstance(feature, tfds.features.BBoxFeature)
    and feature.bbox_format == tfds.features.BBoxFeature().bbox_format
  )


def box_parsers(
  multi_label: bool,
) -> dict[str, tf.io.FixedLenFeature | tf.io.FixedLenSequenceFeature]:
  """How the features of `own_boxes` are parsed, by their names in a file."""
  if multi_label:
    return {"bbox": tf.io.FixedLenFeature([4], tf.float32)}
  numbers = functools.partial(tf.io.FixedLenSequenceFeature, allow_missing=True)
  return {
    "objects/bbox": numbers([4], tf.float32),
    "objects/label": numbers([], tf.int64),
  }


def own_boxes(example: dict[str, tf.Tensor], name: tf.Tensor) -> tf.Tensor:
  """The boxes of an example: float32 [n, 4], as in a record.

  Args:
    example: with bbox, [4], the example's own; or with label, of the image,
      objects/label, [m], and objects/bbox, [m, 4], of which those of the same
      label count. Boxes are ymin, xmin, ymax, xmax as fractions of the image.
    name: string scalar, of the image, for the message.
  """
  if "bbox" in example:
    mine = example["bbox"][None]
  else:
    own = example["objects/label"] == example["label"]
    mine = tf.boolean_mask(example["objects/bbox"], own)
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
