"""Data sets of tensorflow_datasets, read without decoding their images."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow.io import FixedLenFeature, FixedLenSequenceFeature

from vggjax.data.iterating import elements
from vggjax.data.records import (
  RandomAccessSource,
  Record,
  Source,
  StreamSource,
)
from vggjax.data.tfds_boxes import (
  box_parsers,
  check_bbox,
  check_objects,
  own_boxes,
  without_own_boxes,
)
from vggjax.data.tfds_builder import prepared_builder, resolve_split
from vggjax.data.tfds_labels import image_targets, label_features
from vggjax.data.tracing import traced

# Features that name the image; the first one found is the id.
_ID_FEATURES = ("file_name", "filename", "image/filename")
_IMAGENET = ("imagenet2012", "ilsvrc2012_loc")


def open_tfds(
  spec: str,
  split: str,
  data_dir: str | os.PathLike | None,
  *,
  with_boxes: bool = False,
  multi_label: bool = False,
  cache_dir: str | os.PathLike | None = None,
) -> Source:
  """Open a split of a tfds data set; prepare the data set if it is missing.

  The arguments are those of `sources.open_source`.

  Raises:
    InputError: if there is no such data set or split, if its files cannot be
      had, or if it lacks a feature.
  """
  builder = prepared_builder(spec, data_dir, multi_label=multi_label)
  tfds_split = resolve_split(spec, split, builder)
  random_access = builder.info.file_format in (
    tfds.core.FileFormat.with_random_access()
  )
  features = builder.info.features
  if with_boxes:
    (check_bbox if multi_label else check_objects)(spec, features)
  if multi_label:
    class_names, _ = label_features(spec, features)
  else:
    class_names = tuple(features["label"].names)
  source = (TfdsRandomAccess if random_access else TfdsStream)(
    spec,
    split,
    class_names,
    builder.name in _IMAGENET,
    builder,
    tfds_split,
    next((name for name in _ID_FEATURES if name in features), ""),
    with_boxes=with_boxes,
    multi_label=multi_label,
  )
  # Of a multi-label set each example has its box.
  own = with_boxes and not multi_label
  if own and (positions := without_own_boxes(source, cache_dir)):
    source = source.only_with_boxes(positions)
  return source


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
    content = f"{self.builder.info.full_name}\n{self.tfds_split}"
    if self.with_boxes:
      # The number, as the archive of an own data set may be a part.
      content += f"\nboxes of {self._num_prepared}"
    if self.multi_label:
      content += f"\nmulti-label of {self._num_prepared}"
    return content

  @property
  def _num_prepared(self) -> int:
    return self.builder.info.splits[self.tfds_split].num_examples

  def labels(self) -> np.ndarray:
    return self._labels_and_ids[0].copy()

  def _all_ids(self) -> Sequence[str]:
    return self._labels_and_ids[1]

  def _parsers(self) -> dict[str, FixedLenFeature | FixedLenSequenceFeature]:
    """How the features that are read are parsed, by their names in a file."""
    names = ("image", self.id_feature) if self.id_feature else ("image",)
    parsers = {name: FixedLenFeature([], tf.string) for name in names}
    if self.multi_label:
      _, names = label_features(self.spec, self.builder.info.features)
      for name in names:
        parsers[name] = FixedLenSequenceFeature([], tf.int64, True)
    else:
      parsers["label"] = FixedLenFeature([], tf.int64)
    if self.with_boxes:
      parsers.update(box_parsers(self.multi_label))
    return parsers

  def _record(self, example: dict[str, tf.Tensor], name: tf.Tensor) -> Record:
    """A record less its index and key, from the features of `_parsers`."""
    record = {"bytes": example["image"], "id": name}
    if self.multi_label:
      record["label"] = tf.constant(-1)
      record["targets"] = image_targets(example, len(self.class_names))
    else:
      record["label"] = tf.cast(example["label"], tf.int32)
    if self.with_boxes:
      record["boxes"] = own_boxes(example, name)
    return record

  @functools.cached_property
  def _labels_and_ids(self) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of all examples, by one pass that decodes nothing."""
    labels, ids = [], []
    records = self.stream().map(
      traced(lambda record: (record["label"], record["id"]))
    )
    for some_labels, some_ids in elements(records.batch(1024)):
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
      self.tfds_split,
      deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
    )

  def _read_bytes(self, position: np.ndarray) -> bytes:
    return self._data_source[int(position)]

  def read(self, index: tf.Tensor) -> Record:
    position = index if self.kept is None else tf.constant(self.kept)[index]
    example = tf.io.parse_single_example(
      tf.ensure_shape(
        tf.numpy_function(
          self._read_bytes, [position], tf.string, stateful=False
        ),
        [],
      ),
      self._parsers(),
    )
    if self.id_feature:
      name = example[self.id_feature]
    else:
      number = tf.strings.as_string(position)
      name = tf.strings.join([f"{self.tfds_split}/", number])
    return {**self._record(example, name), "index": index, "key": index}

  def without(self, positions: Sequence[int]) -> "TfdsRandomAccess":
    left_out = sorted(set(positions))
    return dataclasses.replace(
      self, kept=self._less(left_out), skipped=tuple(self.ids(left_out))
    )

  def only_with_boxes(self, positions: Sequence[int]) -> "TfdsRandomAccess":
    """The same source less these indices, which have no box."""
    return dataclasses.replace(
      self, kept=self._less(positions), without_boxes=len(positions)
    )

  def _less(self, positions: Sequence[int]) -> np.ndarray:
    kept = np.arange(self._num_prepared) if self.kept is None else self.kept
    return np.delete(kept, positions)


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsStream(_TfdsSource, StreamSource):
  """A data set prepared in a format without random access (TFRecord)."""

  @property
  def num_examples(self) -> int:
    return self._num_prepared - self.without_boxes - len(self.skipped)

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
    examples = self.builder.as_dataset(
      self.tfds_split,
      shuffle_files=shuffle_files,
      read_config=config,
      decoders=tfds.decode.PartialDecoding(
        _nested(self._parsers(), self.builder.info.features),
        decoders={"image": tfds.decode.SkipDecoding()},
      ),
    )

    @traced
    def to_record(example):
      name = example[self.id_feature or "tfds_id"]
      record = self._record(_flat(example), name)
      key = tf.strings.to_hash_bucket_fast(example["tfds_id"], 2**62)
      return {**record, "key": key}

    records = examples.map(to_record)
    if self.without_boxes:
      records = records.filter(
        traced(lambda record: tf.shape(record["boxes"])[0] > 0)
      )
    if self.skipped:
      skipped = tf.constant(self.skipped)
      records = records.filter(
        traced(lambda record: tf.reduce_all(record["id"] != skipped))
      )
    # In index order the position is the index.
    return records.enumerate().map(
      traced(lambda position, record: {**record, "index": position})
    )

  def only_with_boxes(self, positions: Sequence[int]) -> "TfdsStream":
    """The same source less these indices, which have no box."""
    return dataclasses.replace(self, without_boxes=len(positions))

  def without(self, positions: Sequence[int]) -> "TfdsStream":
    return dataclasses.replace(
      self, skipped=tuple(self.ids(sorted(set(positions))))
    )


def _nested(
  names: Iterable[str], features: tfds.features.FeaturesDict
) -> dict[str, bool | dict[str, bool]]:
  """What tfds is to decode, from the names in a file."""
  nested = {}
  for name in names:
    if name in features:  # Some have a slash in their own name.
      nested[name] = True
    else:
      outer, _, inner = name.partition("/")
      nested.setdefault(outer, {})[inner] = True
  return nested


def _flat(example: dict) -> dict[str, tf.Tensor]:
  """What tfds decoded, by the names in a file."""
  flat = {}
  for name, value in example.items():
    if isinstance(value, dict):
      flat.update({f"{name}/{key}": inner for key, inner in value.items()})
    else:
      flat[name] = value
  return flat
