"""A data set in which the label is the number of the image."""

import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds
from pictures import encode, picture

from vggjax.data import pipeline
from vggjax.data.sources import open_source

NUM_IMAGES = 23
OPTIONS = {"batch_size": 4, "crop_size": 8, "train_scale": (9, 12), "seed": 5}


def numbered_picture(number):
  """Image `number` of a data set in which the label is the number."""
  return picture(10 + number % 3, 12 + number % 4, seed=number)


def encoded_picture(number):
  image = numbered_picture(number)
  return encode(image, "JPEG" if number % 2 else "PNG")


class NumberedPictures(tfds.core.GeneratorBasedBuilder):
  """NUM_IMAGES training images."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    features = tfds.features.FeaturesDict(
      {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=NUM_IMAGES),
      }
    )
    return tfds.core.DatasetInfo(builder=self, features=features)

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    for i in range(NUM_IMAGES):
      yield i, {"image": numbered_picture(i), "label": i}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp("folder"))


def write_folder(root, num_images=NUM_IMAGES):
  rows = ["file,label,split"]
  for i in range(num_images):
    name = f"{i:03}.jpg" if i % 2 else f"{i:03}.png"
    (root / name).write_bytes(encoded_picture(i))
    rows.append(f"{name},{i},train")
  (root / "labels.csv").write_text("\n".join(rows) + "\n")
  return open_source(f"folder:{root}", "train")


@pytest.fixture(scope="module", params=["folder", "array_record", "tfrecord"])
def source(request, folder, tmp_path_factory):
  """The same images in the three ways of reading."""
  if request.param == "folder":
    return folder
  data_dir = tmp_path_factory.mktemp(request.param)
  tfds.builder(
    "numbered_pictures", data_dir=data_dir, file_format=request.param
  ).download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=4)
  )
  return open_source("numbered_pictures", "train", data_dir=data_dir)


def take(source, number, **options):
  batches = pipeline.train_batches(source, **{**OPTIONS, **options})
  return list(itertools.islice(batches, number))


def join(batches):
  return {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}


def assert_equal(ours, theirs):
  assert len(ours) == len(theirs)
  for one, other in zip(ours, theirs, strict=True):
    assert one.keys() == other.keys()
    for key in one:
      np.testing.assert_array_equal(one[key], other[key])
