"""ILSVRC-2012 with its bounding boxes (App. A), as a tfds builder."""

from pathlib import Path, PurePosixPath
from typing import ClassVar

import tensorflow_datasets as tfds

from vggjax import imagenet
from vggjax.annotations import Box
from vggjax.data.boxes import fractions, header_size
from vggjax.data.datasets.kaggle_archive import NAME, KaggleArchive
from vggjax.errors import InputError

_LABELS = {synset: label for label, synset in enumerate(imagenet.synsets())}


class Ilsvrc2012Loc(tfds.core.GeneratorBasedBuilder):
  """ILSVRC-2012's localization task: the images, their classes and boxes.

  From Kaggle's archive. Two training images in five have boxes, all validation
  images do, no test image does. Features:
    image: the file as published: JPEG but for one PNG, a few of them CMYK.
    label: of the 1000 synsets, sorted; -1 in the test split.
    file_name: "n01440764_10026.JPEG".
    objects: bbox (fractions of the image) and label.
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Get {NAME}.zip from https://www.kaggle.com/c/{NAME}/data and leave it in "
    "manual_dir, or unpack it there."
  )

  def _info(self):
    label = tfds.features.ClassLabel(names=list(_LABELS))
    features = {
      "image": tfds.features.Image(
        shape=(None, None, 3), encoding_format="jpeg"
      ),
      "label": label,
      "file_name": tfds.features.Text(),
      "objects": tfds.features.Sequence(
        {"bbox": tfds.features.BBoxFeature(), "label": label}
      ),
    }
    return self.dataset_info_from_configs(
      description=self.__doc__,
      features=tfds.features.FeaturesDict(features),
      supervised_keys=("image", "label"),
      homepage="https://image-net.org/",
    )

  def _split_generators(self, dl_manager):
    archive = KaggleArchive(Path(dl_manager.manual_dir))
    # First what can be missing, then the images.
    images = {name: archive.images(name) for name in ("train", "val", "test")}
    train = archive.boxes("LOC_train_solution.csv")
    validation = archive.boxes("LOC_val_solution.csv")
    return {
      "train": self._generate_examples(archive, images["train"], train),
      "validation": self._generate_examples(archive, images["val"], validation),
      "test": self._generate_examples(archive, images["test"], {}),
    }

  def _generate_examples(self, archive, paths, boxes_of):
    for path in map(PurePosixPath, paths):
      where = f"{archive.path}: {path}"
      boxes = boxes_of.get(path.stem, [])
      encoded = archive.read(str(path))
      example = {
        "image": encoded,
        "label": _label(where, path, boxes),
        "file_name": path.name,
        "objects": [_object(where, encoded, box) for box in boxes],
      }
      yield path.name, example


def _label(where: str, path: PurePosixPath, boxes: list[Box]) -> int:
  """That of the folder in train, of the boxes in val; -1 in test."""
  if path.parts[3] == "test":
    return -1
  if path.parts[3] == "train":
    return _label_of(where, path.parent.name)
  if not boxes:
    raise InputError(f"{where}: LOC_val_solution.csv does not list it")
  return _label_of(where, boxes[0][0])


def _label_of(where: str, synset: str) -> int:
  label = _LABELS.get(synset)
  if label is None:
    raise InputError(f"{where}: {synset!r} is not a synset of ILSVRC-2012")
  return label


def _object(where: str, encoded: bytes, box: Box) -> dict:
  """The features of an object."""
  synset, edges = box
  size = header_size(encoded, where)
  xmin, ymin, xmax, ymax = fractions([edges], size, where)[0]
  return {
    "bbox": tfds.features.BBox(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax),
    "label": _label_of(where, synset),
  }
