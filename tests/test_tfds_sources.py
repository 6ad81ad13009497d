"""vggjax.data.sources: TensorFlow Datasets, prepared here and offline."""

import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from pictures import encode, picture
from source_records import own_cache as own_cache
from source_records import records_of

from vggjax.data.sources import open_source
from vggjax.data.unreadable import find_unreadable
from vggjax.errors import InputError


class TinyColors(tfds.core.GeneratorBasedBuilder):
  """Twelve training images and three for `val`; the last two are broken."""

  VERSION = tfds.core.Version("1.0.0")
  SIZES = {"train": 12, "val": 3}  # noqa: RUF012

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(None, None, 3)),
          "label": tfds.features.ClassLabel(names=["even", "odd"]),
          "extra": tfds.features.Text(),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in self.SIZES}

  def _generate_examples(self, split):
    for i in range(self.SIZES[split]):
      whole = encode(picture(6, 8, i))
      broken = split == "train" and i >= 10
      image = io.BytesIO(whole[:40] if broken else whole)
      yield i, {"image": image, "label": i % 2, "extra": "x" * i}


class TinyPairs(tfds.core.GeneratorBasedBuilder):
  """A data set without images."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {"left": tf.int64, "right": tf.int64}
      ),
    )

  def _split_generators(self, dl_manager):
    raise AssertionError("it is refused before it is prepared")

  def _generate_examples(self):
    raise AssertionError("it is refused before it is prepared")


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def tiny(request, tmp_path_factory):
  """The data_dir of TinyColors, and whether it has random access."""
  data_dir = tmp_path_factory.mktemp(request.param)
  builder = tfds.builder(
    "tiny_colors", data_dir=data_dir, file_format=request.param
  )
  builder.download_and_prepare()
  return data_dir, request.param == "array_record"


def test_tfds(tiny):
  data_dir, random_access = tiny
  source = open_source("tiny_colors", "train", data_dir=data_dir)
  assert source.random_access == random_access
  assert source.class_names == ("even", "odd")
  assert not source.is_imagenet
  records = records_of(source)
  assert len(records) == source.num_examples == 12
  assert [r["id"].decode() for r in records] == source.ids()
  assert len(set(source.ids())) == 12
  assert [int(r["index"]) for r in records] == list(range(12))
  assert source.labels().tolist() == [r["label"] for r in records]
  assert source.labels().dtype == np.int32
  numbers = [whole_images().get(record["bytes"]) for record in records]
  found = sorted(number for number in numbers if number is not None)
  assert found == list(range(10))
  for number, record in zip(numbers, records, strict=True):
    assert number is None or record["label"] == number % 2
  if random_access:
    record = source.read(tf.constant(5, tf.int64))
    assert record["id"].numpy() == records[5]["id"]
    assert record["bytes"].numpy() == records[5]["bytes"]


def whole_images():
  return {encode(picture(6, 8, i)): i for i in range(12)}


def test_tfds_splits(tiny):
  data_dir, _ = tiny
  validation = open_source("tiny_colors", "validation", data_dir=data_dir)
  assert validation.num_examples == 3
  part = open_source("tiny_colors", "train[:50%]", data_dir=data_dir)
  whole = open_source("tiny_colors", "train", data_dir=data_dir)
  assert part.num_examples == len(records_of(part)) == 6
  assert part.labels().tolist() == whole.labels()[:6].tolist()
  assert len({s.fingerprint for s in (validation, part, whole)}) == 3
  with pytest.raises(InputError, match="no split 'test'; it has train, val"):
    open_source("tiny_colors", "test", data_dir=data_dir)
  with pytest.raises(InputError, match=r"cannot read the split 'train\[:x\]'"):
    open_source("tiny_colors", "train[:x]", data_dir=data_dir)


def test_tfds_skip(tiny):
  data_dir, _ = tiny
  whole = open_source("tiny_colors", "train", data_dir=data_dir)
  assert len(find_unreadable(whole)) == 2
  source = open_source(
    "tiny_colors", "train", data_dir=data_dir, on_error="skip"
  )
  assert source.num_examples == 10
  assert set(source.skipped) == set(whole.ids()) - set(source.ids())
  records = records_of(source)
  assert sorted(whole_images()[r["bytes"]] for r in records) == list(range(10))
  assert [r["id"].decode() for r in records] == source.ids()
  assert [int(r["index"]) for r in records] == list(range(10))
  assert source.fingerprint != whole.fingerprint


def test_tfds_refuses_in_one_line(tmp_path):
  cases = {
    "no_such_data_set": "not found",
    "tiny_colors/no_config": "no_such|config|Config",
    "tiny_pairs": "features image and label; it has left, right",
    "imagenet2012": "ILSVRC2012_img_train.tar",
    str(tmp_path): "opened by folder:",
  }
  for spec, message in cases.items():
    with pytest.raises(InputError, match=message) as error:
      open_source(spec, "train", data_dir=tmp_path)
    assert "\n" not in str(error.value)
  with pytest.raises(InputError, match="need a folder:PATH"):
    open_source("tiny_colors", "train", labels_csv="labels.csv")


def add_file(archive, name, content):
  info = tarfile.TarInfo(name)
  info.size = len(content)
  archive.addfile(info, io.BytesIO(content))


def test_imagenet2012_of_tfds_prepares_offline(tmp_path):
  """From small tar files of the official names and layout."""
  manual = tmp_path / "downloads" / "manual"
  manual.mkdir(parents=True)
  names = tfds.builder("imagenet2012", data_dir=tmp_path).info.features
  synsets = names["label"].names
  jpegs = [encode(picture(24, 32, i), "JPEG") for i in range(20)]
  with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as archive:
    for synset in synsets[:3]:
      inner = io.BytesIO()
      with tarfile.open(fileobj=inner, mode="w") as images:
        for i in range(4):
          add_file(images, f"{synset}_{i}.JPEG", jpegs[i])
      add_file(archive, f"{synset}.tar", inner.getvalue())
  for split, number in (("val", 20), ("test", 3)):
    path = manual / f"ILSVRC2012_img_{split}.tar"
    with tarfile.open(path, "w") as archive:
      for i in range(number):
        name = f"ILSVRC2012_{split}_{i + 1:08}.JPEG"
        prefix = "test/" if split == "test" else ""
        add_file(archive, prefix + name, jpegs[i])
  for split, number in (("train", 12), ("validation", 20), ("test", 3)):
    source = open_source("imagenet2012", split, data_dir=tmp_path)
    assert source.num_examples == number
    assert source.class_names == tuple(synsets)
    assert source.is_imagenet
    assert not source.random_access
    records = records_of(source)
    assert len(records) == number
    for record in records:
      name = record["id"].decode()
      kind = name.split("_")[1] if split != "train" else name.split("_")[0]
      assert name.endswith(".JPEG")
      if split == "train":
        assert source.class_names[record["label"]] == kind
        assert record["bytes"] == jpegs[int(name.split("_")[1][0])]
      else:
        assert record["bytes"] == jpegs[int(name[-13:-5]) - 1]
    labels = source.labels()
    assert (labels == -1).all() if split == "test" else (labels >= 0).all()
