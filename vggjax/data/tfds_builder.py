"""Find and prepare a data set of tensorflow_datasets, and its splits."""

import os
import re
import textwrap

import tensorflow as tf
import tensorflow_datasets as tfds

# Registers the project's own builders.
import vggjax.data.datasets
from vggjax.data.tfds_labels import label_features
from vggjax.errors import InputError

_ALIASES = {"validation": ("val", "valid", "dev")}
_PREPARE_ERRORS = (
  AssertionError,
  ImportError,
  OSError,
  ValueError,
  tf.errors.OpError,
  tfds.download.DownloadError,
)


def prepared_builder(
  spec: str, data_dir: str | os.PathLike | None, *, multi_label: bool = False
) -> tfds.core.DatasetBuilder:
  """The builder of a data set, which it prepares if that is missing."""
  if data_dir is not None:
    data_dir = os.path.expanduser(os.fspath(data_dir))
  if os.path.isdir(spec):
    raise InputError(f"{spec}: a folder of images is opened by folder:{spec}")
  try:
    builder = tfds.builder(spec, data_dir=data_dir)
  except (ValueError, ImportError, tf.errors.OpError) as error:
    raise InputError(f"{spec}: {_one_line(error)}") from error
  # Before a long download.
  check = label_features if multi_label else _check_features
  check(spec, builder.info.features)
  # Ours are new: give them random access.
  file_format = "array_record" if _is_own(spec) else None
  if builder.data_path.exists():
    file_format = None  # As it was prepared.
  try:
    builder.download_and_prepare(file_format=file_format)
  except _PREPARE_ERRORS as error:
    raise InputError(
      f"{spec}: cannot prepare it in {builder.data_path}: {_one_line(error)}"
    ) from error
  return builder


def _check_features(
  spec: str, features: tfds.features.FeatureConnector
) -> None:
  is_dict = isinstance(features, tfds.features.FeaturesDict)
  found = dict(features.items()) if is_dict else {}
  if not (
    isinstance(found.get("image"), tfds.features.Image)
    and isinstance(found.get("label"), tfds.features.ClassLabel)
  ):
    raise InputError(
      f"{spec}: must have the features image and label; it has "
      f"{', '.join(found) or 'others'}"
    )


def _is_own(spec: str) -> bool:
  """Whether the data set is one of `vggjax.data.datasets`."""
  try:
    cls = tfds.builder_cls(re.split("[/:]", spec)[0])
  except tfds.core.DatasetNotFoundError:
    return False  # It may still be there, prepared, without its code.
  return cls.__module__.startswith(vggjax.data.datasets.__name__)


def _one_line(error: Exception) -> str:
  """The message, up to some length: tfds' own run over many lines."""
  return textwrap.shorten(str(error) or type(error).__name__, 400)


def resolve_split(
  spec: str, split: str, builder: tfds.core.DatasetBuilder
) -> str:
  """The data set's name of the split, a slice included."""
  available = builder.info.splits
  base, bracket, rest = split.partition("[")
  if base not in available:
    names = (name for name in _ALIASES.get(base, ()) if name in available)
    base = next(names, None)
  if base is None:
    raise InputError(
      f"{spec}: has no split {split!r}; it has {', '.join(available)}"
    )
  try:
    # The look-up parses the slice.
    _ = available[base + bracket + rest].num_examples
  except (ValueError, KeyError) as error:
    raise InputError(
      f"{spec}: cannot read the split {split!r} ({_one_line(error)})"
    ) from error
  return base + bracket + rest
