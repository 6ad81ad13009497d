"""The labels of a tfds data set, several an image (App. B)."""

import tensorflow as tf
import tensorflow_datasets as tfds

from vggjax.errors import InputError

# What tells the classes, and what the difficult ones; the first found counts.
_FEATURES = (
  ("labels", "labels_no_difficult"),
  ("objects/label", "objects/is_difficult"),
)


def label_features(
  spec: str, features: tfds.features.FeatureConnector
) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The classes of a multi-label data set, and the features that tell them.

  These are `labels` and, if there, `labels_no_difficult`, the same less the
  classes of which all objects are difficult; else, of `objects`, `label` and,
  if there, `is_difficult`.

  Returns:
    K names, in the order of the labels; the features' names in a file.

  Raises:
    InputError: if there is no image or no such feature.
  """
  is_dict = isinstance(features, tfds.features.FeaturesDict)
  found = dict(features.items()) if is_dict else {}
  inner = _in_sequences(found)
  if isinstance(found.get("image"), tfds.features.Image):
    for labels, other in _FEATURES:
      if isinstance(inner.get(labels), tfds.features.ClassLabel):
        names = (labels, other) if other in inner else (labels,)
        return tuple(inner[labels].names), names
  raise InputError(
    f"{spec}: must have the features image and labels, a sequence of classes, "
    "or objects, a sequence with a label, to be multi-label; it has "
    f"{', '.join(found) or 'others'}"
  )


def _in_sequences(
  features: dict[str, tfds.features.FeatureConnector],
) -> dict[str, tfds.features.FeatureConnector]:
  """What the sequences are of, by the names in a file."""
  found = {}
  for name, feature in features.items():
    if isinstance(feature, tfds.features.Sequence):
      if isinstance(feature.feature, tfds.features.FeaturesDict):
        items = feature.feature.items()
        found.update({f"{name}/{key}": value for key, value in items})
      else:
        found[name] = feature.feature
  return found


def image_targets(example: dict[str, tf.Tensor], num_classes: int) -> tf.Tensor:
  """The targets of an example: int8 [K], as in a record.

  Args:
    example: the features of `label_features`; [n] each, of n labels.
    num_classes: K.
  """
  if "labels" in example:
    labels = example["labels"]
    certain = example.get("labels_no_difficult", labels)
  else:
    labels = certain = example["objects/label"]
    if "objects/is_difficult" in example:
      difficult = tf.cast(example["objects/is_difficult"], tf.bool)
      certain = tf.boolean_mask(labels, ~difficult)

  def among(numbers):
    found = tf.one_hot(numbers, num_classes, True, False, dtype=tf.bool)
    return tf.reduce_any(found, 0)

  targets = tf.where(among(certain), 1, tf.where(among(labels), 0, -1))
  # An example without any label has none annotated.
  return tf.cast(tf.where(tf.size(labels) > 0, targets, 0), tf.int8)
