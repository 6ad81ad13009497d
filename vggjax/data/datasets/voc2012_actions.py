"""VOC-2012's action classification (App. B), as a tfds builder."""

import dataclasses
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import tensorflow_datasets as tfds

from vggjax.annotations import object_edges, xml_objects
from vggjax.data.boxes import fractions, header_size
from vggjax.data.datasets.manual_archive import ManualArchive
from vggjax.errors import InputError
from vggjax.voc import ACTIONS, DISTRACTORS

_TRAINVAL, _TEST = "VOCtrainval_11-May-2012.tar", "VOC2012test.tar"
_FOLDER = "VOCdevkit/VOC2012"
_URL = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
_LISTED = tuple(name for name in ACTIONS if name != DISTRACTORS)
# Image, number of the object and, less in the test set, truth.
_LINE = re.compile(r"([\w-]+)\s+([1-9]\d{0,5})(?:\s+(-1|0|1))?")


class Voc2012Actions(tfds.core.GeneratorBasedBuilder):
  """VOC-2012's action classification: people, their boxes and actions.

  An example is a person. Features:
    image: the file as published, JPEG, of the whole image.
    file_name: "2010_006215_1.jpg": the image and the number of the person, from
      1, among the objects of its annotation.
    bbox: of the person, fractions of the image.
    labels: what the person does of the ten actions; or "other", if none. And
      what is not known: "jumping" was not yet annotated in 2010. None in the
      test set, whose annotations are not published.
    labels_no_difficult: the same less what is not known.
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Get {_TRAINVAL} from {_URL} and, for the split test, {_TEST} from its "
    "server for evaluation; leave them in manual_dir, or unpack them there."
  )

  def _info(self):
    labels = tfds.features.Sequence(tfds.features.ClassLabel(names=ACTIONS))
    features = {
      "image": tfds.features.Image(
        shape=(None, None, 3), encoding_format="jpeg"
      ),
      "file_name": tfds.features.Text(),
      "bbox": tfds.features.BBoxFeature(),
      "labels": labels,
      "labels_no_difficult": labels,
    }
    return self.dataset_info_from_configs(
      description=self.__doc__,
      features=tfds.features.FeaturesDict(features),
      homepage=_URL,
    )

  def _split_generators(self, dl_manager):
    folder = Path(dl_manager.manual_dir)
    trainval = ManualArchive(folder, _TRAINVAL, _FOLDER, _URL)
    archives = {"train": trainval, "val": trainval}
    if (folder / _TEST).is_file() or (
      folder / _list_name(_LISTED[0], "test")
    ).is_file():
      archives["test"] = ManualArchive(folder, _TEST, _FOLDER, _URL)
    # First what can be wrong in the lists, then the images.
    people = {
      split: _read_people(archive, split) for split, archive in archives.items()
    }
    return {
      {"val": "validation"}.get(split, split): self._generate_examples(
        archive, people[split]
      )
      for split, archive in archives.items()
    }

  def _generate_examples(self, archive, people):
    for image, group in itertools.groupby(people, lambda p: p.image):
      name = f"{_FOLDER}/JPEGImages/{image}.jpg"
      encoded = archive.read(name)
      size = header_size(encoded, f"{archive.path}: {name}")
      name = f"{_FOLDER}/Annotations/{image}.xml"
      where = f"{archive.path}: {name}"
      objects = xml_objects(where, archive.read(name))
      for person in group:
        own, element = _object_of(person, where, objects)
        bbox = _bbox(own, element, size)
        labels = _labels(own, person, element)
        example = {
          "image": encoded,
          "file_name": f"{image}_{person.number}.jpg",
          "bbox": bbox,
          "labels": labels,
          "labels_no_difficult": [
            name for name in labels if person.truths.get(name, 1) == 1
          ],
        }
        yield example["file_name"], example


@dataclasses.dataclass(frozen=True)
class _Person:
  """A person of a split.

  Attributes:
    image: its name, "2010_006215".
    number: of the object in the annotation, from 1.
    where: the first line that lists the person, for messages.
    truths: of each action: 1 done, -1 not done, 0 unknown.
  """

  image: str
  number: int
  where: str
  truths: dict[str, int] = dataclasses.field(
    default_factory=lambda: dict.fromkeys(_LISTED, 0)
  )


def _list_name(action: str, split: str) -> str:
  return f"{_FOLDER}/ImageSets/Action/{action}_{split}.txt"


def _read_people(archive: ManualArchive, split: str) -> list[_Person]:
  """The people of train, val or test, sorted.

  The development kit trains and evaluates each action on the people that its
  own list has, ACTION_SPLIT.txt; train.txt and so on have the images alone.
  Those of 2010 are not in the lists of "jumping", new in VOC2011.
  """
  people = {}
  for action in _LISTED:
    seen = set()
    for where, line in _lines(archive, _list_name(action, split)):
      match = _LINE.fullmatch(line)
      if match is None or (match[3] is None and split != "test"):
        raise InputError(
          f"{where}: {line[:80]!r}: must be an image, the number of an object "
          "and -1, 0 or 1"
        )
      key = image, number = match[1], int(match[2])
      if key in seen:
        raise InputError(f"{where}: lists object {number} of {image} twice")
      seen.add(key)
      person = people.setdefault(key, _Person(image, number, where))
      person.truths[action] = int(match[3] or 0)
  if not people:
    raise InputError(
      f"{archive.path}: {_list_name('*', split)}: they list no people"
    )
  return [people[key] for key in sorted(people)]


def _lines(archive: ManualArchive, name: str) -> Iterable[tuple[str, str]]:
  """The lines of a file that are not empty, each with where it is."""
  where = f"{archive.path}: {name}"
  try:
    lines = archive.read(name).decode().splitlines()
  except UnicodeDecodeError as error:
    raise InputError(f"{where}: not a text in UTF-8: {error}") from error
  for number, line in enumerate(lines, start=1):
    if line.strip():
      yield f"{where}:{number}", line.strip()


def _object_of(
  person: _Person, where: str, objects: list[tuple[str, ElementTree.Element]]
) -> tuple[str, ElementTree.Element]:
  """The person's object and where it is; `where` names the annotation."""
  if person.number > len(objects):
    raise InputError(
      f"{person.where}: object {person.number}: {where} has {len(objects)} "
      "objects"
    )
  own, element = objects[person.number - 1]
  name = element.findtext("name", "").strip()
  if name != "person":
    raise InputError(
      f"{person.where}: object {person.number}: in {where} it is "
      f"{name[:80]!r}, not a person"
    )
  return own, element


def _bbox(
  where: str, element: ElementTree.Element, size: tuple[int, int]
) -> tfds.features.BBox:
  edges = object_edges(where, element, is_ilsvrc=False)
  xmin, ymin, xmax, ymax = fractions([edges], size, where)[0]
  return tfds.features.BBox(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax)


def _labels(
  where: str, person: _Person, element: ElementTree.Element
) -> list[str]:
  """What the person does or, where that is not known, may do."""
  if not any(person.truths.values()):
    return []  # Nothing is known: the test set.
  labels = [name for name in _LISTED if person.truths[name] >= 0]
  # No list has the people who do none of the ten.
  word = element.findtext(f"actions/{DISTRACTORS}", "missing").strip()
  if word not in ("0", "1"):
    raise InputError(
      f"{where}: action {DISTRACTORS!r} {word[:80]!r}: must be 0 or 1"
    )
  if word == "1":
    labels.append(DISTRACTORS)
  if not labels:
    raise InputError(
      f"{where}: does none of the actions, and is not {DISTRACTORS!r}"
    )
  return labels
