"""Caltech-256 (App. B), as a tfds builder."""

import re
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from vggjax.data.datasets.manual_archive import ManualArchive
from vggjax.errors import InputError

_FOLDER = "256_ObjectCategories"
_URL = "https://data.caltech.edu/records/nyy15-4j048"
_IMAGE = re.compile(r"(\d{3})_\d{4}\.jpg")


def class_names() -> list[str]:
  """The 257 official names, clutter the last, in the order of the labels.

  A name's folder in the archive is NNN.name, NNN its line's number.
  """
  path = Path(__file__).with_name("caltech256_labels.txt")
  return path.read_text(encoding="utf-8").split()


class Caltech256(tfds.core.GeneratorBasedBuilder):
  """Caltech-256: 30,607 images of 256 classes and of clutter.

  It has no official split: all images are the split train. Features:
    image: the file as published, JPEG.
    label: of 257, the official number less 1; clutter is the last.
    file_name: "001_0001.jpg".
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Get {_FOLDER}.tar from {_URL} and leave it in manual_dir, or unpack it "
    "there."
  )

  def _info(self):
    features = {
      "image": tfds.features.Image(
        shape=(None, None, 3), encoding_format="jpeg"
      ),
      "label": tfds.features.ClassLabel(names=class_names()),
      "file_name": tfds.features.Text(),
    }
    return self.dataset_info_from_configs(
      description=self.__doc__,
      features=tfds.features.FeaturesDict(features),
      supervised_keys=("image", "label"),
      homepage=_URL,
    )

  def _split_generators(self, dl_manager):
    folder = Path(dl_manager.manual_dir)
    archive = ManualArchive(folder, f"{_FOLDER}.tar", _FOLDER, _URL)
    labels = _labels(archive)
    return {"train": self._generate_examples(archive, labels)}

  def _generate_examples(self, archive, labels):
    for path, label in labels.items():
      name = path.rpartition("/")[2]
      example = {
        "image": archive.read(path),
        "label": label,
        "file_name": name,
      }
      yield name, example


def _labels(archive: ManualArchive) -> dict[str, int]:
  """The label of each image, by its path in the archive.

  Only files NNN.name/NNN_NNNN.jpg count: the archive has a folder within that
  of the dogs, and a file among the spiders that is no image.
  """
  label_of = {
    f"{number:03d}.{name}": number - 1
    for number, name in enumerate(class_names(), start=1)
  }
  labels = {}
  for path in archive.images(_FOLDER):
    _, *folders, name = path.split("/")
    if folders and folders[0] not in label_of:
      raise InputError(
        f"{archive.path}: {_FOLDER}/{folders[0]}: not a folder of Caltech-256, "
        'whose folders are "001.ak47" to "257.clutter"'
      )
    match = _IMAGE.fullmatch(name)
    if len(folders) != 1 or match is None:
      continue
    if match[1] != folders[0][:3]:
      raise InputError(
        f"{archive.path}: {path}: an image of {folders[0]} must be named "
        f"{folders[0][:3]}_NNNN.jpg"
      )
    labels[path] = label_of[folders[0]]
  if not labels:
    raise InputError(
      f"{archive.path}: has no images {_FOLDER}/NNN.name/NNN_NNNN.jpg"
    )
  return labels
