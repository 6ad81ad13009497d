"""Data sets of tensorflow_datasets, read without decoding their images."""

import dataclasses
import functools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

# Registers the project's own builders.
import vggjax.data.datasets  # noqa: F401
from vggjax.data.records import (
  RandomAccessSource,
  Record,
  Source,
  StreamSource,
)
from vggjax.errors import InputError

_ALIASES = {"validation": ("val", "valid", "dev")}
# Features that name the image; the first one found is the id.
_ID_FEATURES = ("file_name", "filename", "image/filename")
_PREPARE_ERRORS = (
  AssertionError,
  ImportError,
  OSError,
  ValueError,
  tf.errors.OpError,
  tfds.download.DownloadError,
)


def open_tfds(
  spec: str, split: str, data_dir: str | os.PathLike | None
) -> Source:
  """Open a split of a tfds data set; prepare the data set if it is missing.

  Raises:
    InputError: if there is no such data set or split, if its files cannot be
      had, or if it has no features image and label.
  """
  builder = _prepared_builder(spec, data_dir)
  tfds_split = _resolve_split(spec, split, builder)
  features = builder.info.features
  if not (
    isinstance(features, tfds.features.FeaturesDict)
    and isinstance(features.get("image"), tfds.features.Image)
    and isinstance(features.get("label"), tfds.features.ClassLabel)
  ):
    raise InputError(
      f"{spec}: must have the features image and label; it has "
      f"{', '.join(features)}"
    )
  random_access = builder.info.file_format in (
    tfds.core.FileFormat.with_random_access()
  )
  return (TfdsRandomAccess if random_access else TfdsStream)(
    spec,
    split,
    tuple(features["label"].names),
    builder.name == "imagenet2012",
    builder,
    tfds_split,
    next((name for name in _ID_FEATURES if name in features), ""),
  )


def _prepared_builder(
  spec: str, data_dir: str | os.PathLike | None
) -> tfds.core.DatasetBuilder:
  if data_dir is not None:
    data_dir = os.path.expanduser(os.fspath(data_dir))
  if os.path.isdir(spec):
    raise InputError(f"{spec}: a folder of images is opened by folder:{spec}")
  try:
    own = tfds.builder_cls(spec.split("/")[0]).__module__.startswith("vggjax.")
    # Ours are small and new: give them random access.
    options = {"file_format": "array_record"} if own else {}
    builder = tfds.builder(spec, data_dir=data_dir, **options)
  except (ValueError, ImportError, tf.errors.OpError) as error:
    raise InputError(f"{spec}: {_first_line(error)}") from error
  try:
    builder.download_and_prepare()
  except _PREPARE_ERRORS as error:
    raise InputError(
      f"{spec}: cannot prepare it in {builder.data_path}: {_first_line(error)}"
    ) from error
  return builder


def _first_line(error: Exception) -> str:
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  return lines[0] if lines else type(error).__name__


def _resolve_split(
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
      f"{spec}: cannot read the split {split!r} ({_first_line(error)})"
    ) from error
  return base + bracket + rest


@dataclasses.dataclass(frozen=True, eq=False)
class _TfdsSource(Source):
  """What both kinds share.

  Attributes:
    builder: prepared.
    tfds_split: in tfds' own words.
    id_feature: the feature that is the id; "": made from the position.
  """

  builder: tfds.core.DatasetBuilder
  tfds_split: str
  id_feature: str

  def _content(self) -> str:
    return f"{self.builder.info.full_name}\n{self.tfds_split}"

  @property
  def _num_prepared(self) -> int:
    return self.builder.info.splits[self.tfds_split].num_examples

  def labels(self) -> np.ndarray:
    return self._labels_and_ids[0].copy()

  def _all_ids(self) -> Sequence[str]:
    return self._labels_and_ids[1]

  @functools.cached_property
  def _labels_and_ids(self) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of all examples, by one pass that decodes nothing."""
    labels, ids = [], []
    records = self.stream().map(lambda record: (record["label"], record["id"]))
    for some_labels, some_ids in records.batch(1024).as_numpy_iterator():
      labels.append(some_labels)
      ids.extend(name.decode() for name in some_ids)
    return np.concatenate([np.zeros(0, np.int32), *labels]), tuple(ids)


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsRandomAccess(_TfdsSource, RandomAccessSource):
  """A data set prepared as array_record.

  Attributes:
    kept: int64 [N], positions in the prepared split; None: all of them.
  """

  kept: np.ndarray | None = None

  @property
  def num_examples(self) -> int:
    return self._num_prepared if self.kept is None else len(self.kept)

  @functools.cached_property
  def _data_source(self) -> Sequence[bytes]:
    return self.builder.as_data_source(
      self.tfds_split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )

  def _read_bytes(self, index: np.ndarray) -> bytes:
    position = int(index if self.kept is None else self.kept[index])
    return self._data_source[position]

  def read(self, index: tf.Tensor) -> Record:
    names = {"image": tf.string, "label": tf.int64}
    if self.id_feature:
      names[self.id_feature] = tf.string
    example = tf.io.parse_single_example(
      tf.ensure_shape(
        tf.numpy_function(
          self._read_bytes, [index], tf.string, stateful=False
        ),
        [],
      ),
      {n: tf.io.FixedLenFeature([], dtype) for n, dtype in names.items()},
    )
    if self.id_feature:
      name = example[self.id_feature]
    else:
      name = tf.strings.join([f"{self.tfds_split}/", tf.strings.as_string(index)])
    return {
      "bytes": example["image"],
      "label": tf.cast(example["label"], tf.int32),
      "id": name,
      "index": index,
      "key": index,
    }

  def without(self, positions: Sequence[int]) -> "TfdsRandomAccess":
    left_out = sorted(set(positions))
    return dataclasses.replace(
      self,
      kept=np.delete(np.arange(self.num_examples), left_out),
      skipped=tuple(self.ids(left_out)),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsStream(_TfdsSource, StreamSource):
  """A data set prepared in a format without random access (TFRecord)."""

  @property
  def num_examples(self) -> int:
    return self._num_prepared - len(self.skipped)

  def stream(self) -> tf.data.Dataset:
    return self._read(tfds.ReadConfig(interleave_cycle_length=1), False)

  def shuffled_stream(self, seed: int, buffer: int) -> tf.data.Dataset:
    # The seeds of tf.data are taken modulo 2^63.
    shards, records = np.random.default_rng(seed).integers(2**62, size=2)
    config = tfds.ReadConfig(shuffle_seed=int(shards))
    return self._read(config, True).shuffle(
      max(buffer, 1), seed=int(records), reshuffle_each_iteration=False
    )

  def _read(
    self, config: tfds.ReadConfig, shuffle_files: bool
  ) -> tf.data.Dataset:
    """The records, those skipped left out, in a deterministic order."""
    config = config.replace(
      add_tfds_id=True, try_autocache=False, interleave_block_length=16
    )
    features = {"image": True, "label": True}
    if self.id_feature:
      features[self.id_feature] = True
    examples = self.builder.as_dataset(
      self.tfds_split,
      shuffle_files=shuffle_files,
      read_config=config,
      decoders=tfds.decode.PartialDecoding(
        features, decoders={"image": tfds.decode.SkipDecoding()}
      ),
    )
    id_name = self.id_feature or "tfds_id"
    records = examples.map(
      lambda example: {
        "bytes": example["image"],
        "label": tf.cast(example["label"], tf.int32),
        "id": example[id_name],
        "key": tf.strings.to_hash_bucket_fast(example["tfds_id"], 2**62),
      }
    )
    if self.skipped:
      skipped = tf.constant(self.skipped)
      records = records.filter(
        lambda record: tf.reduce_all(record["id"] != skipped)
      )
    # In index order the position is the index.
    return records.enumerate().map(
      lambda position, record: {**record, "index": position}
    )

  def without(self, positions: Sequence[int]) -> "TfdsStream":
    return dataclasses.replace(
      self, skipped=tuple(self.ids(sorted(set(positions))))
    )
