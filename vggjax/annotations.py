"""Files of bounding boxes: tables in CSV, and XML a file an image."""

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree

from vggjax.errors import InputError

# Left, top, right and bottom: the outer edges, pixels.
Edges = tuple[float, float, float, float]
# The class of an object, None where the file tells none, and its edges.
Box = tuple[str | None, Edges]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LARGEST_XML = 2**20
# Until here float32 has every integer; no image is as long.
_LONGEST = 2**24


class BoxTable:
  """The rows of a CSV file: (where, file, boxes).

  The header is Kaggle's `ImageId,PredictionString`, the string five words a
  box: synset xmin ymin xmax ymax; or file,xmin,ymin,xmax,ymax[,label] in any
  order, a row a box. Pixels are counted from 0, the last ones included.

  Attributes:
    is_solution: whether the header is Kaggle's.

  Raises:
    InputError: if the header is neither; while iterating, if a row is not as
      it should be.
  """

  def __init__(self, name: str, file: TextIO):
    self._name = name
    self._reader = csv.DictReader(file)
    with self._readable():
      header = [column.strip() for column in self._reader.fieldnames or []]
    self._reader.fieldnames = header
    self.is_solution = header[:2] == ["ImageId", "PredictionString"]
    if not self.is_solution and not {"file", *_CORNERS} <= set(header):
      raise InputError(
        f"{name}: the header must be file,xmin,ymin,xmax,ymax[,label] or "
        f"ImageId,PredictionString; it is {','.join(header)[:80]!r}"
      )

  @contextlib.contextmanager
  def _readable(self):
    try:
      yield
    except (csv.Error, UnicodeDecodeError) as error:
      raise InputError(f"{self._name}: not a CSV file: {error}") from error

  def __iter__(self) -> Iterator[tuple[str, str, list[Box]]]:
    with self._readable():
      for row in self._reader:
        where = f"{self._name}:{self._reader.line_num}"
        file = (row["ImageId" if self.is_solution else "file"] or "").strip()
        if not file:
          raise InputError(f"{where}: no file")
        if self.is_solution:
          yield where, file, _prediction(where, row["PredictionString"] or "")
        else:
          label = (row.get("label") or "").strip() or None
          words = [row[corner] or "" for corner in _CORNERS]
          yield where, file, [(label, _edges(where, words, 0, False))]


def _prediction(where: str, text: str) -> list[Box]:
  words = text.split()
  if not words or len(words) % 5:
    raise InputError(
      f"{where}: {text[:80]!r}: must be five words a box, synset xmin ymin "
      "xmax ymax"
    )
  return [
    (words[i], _edges(where, words[i + 1 : i + 5], 0, True))
    for i in range(0, len(words), 5)
  ]


def read_xml(path: Path, *, is_ilsvrc: bool) -> list[Box]:
  """The objects of an annotation in the XML of PASCAL VOC and ImageNet.

  Args:
    path: of the file.
    is_ilsvrc: whether its pixels are counted from 0; VOC's are from 1.

  Raises:
    InputError: if the file is not as it should be.
  """
  boxes = []
  for where, element in _objects(path):
    label = _name(element)
    if is_ilsvrc and label and not re.fullmatch(r"n\d{8}", label):
      label = None  # ImageNet names some of its dogs by words.
    boxes.append((label, object_edges(where, element, is_ilsvrc=is_ilsvrc)))
  return boxes


def read_labels(path: Path) -> list[tuple[str, bool]]:
  """The class of each object of such an annotation, and if it is difficult.

  A missing `difficult` is 0; boxes and parts are not read.

  Raises:
    InputError: if the file is not as it should be.
  """
  labels = []
  for where, element in _objects(path):
    label = _name(element)
    if label is None:
      raise InputError(f"{where}: has no name")
    difficult = element.findtext("difficult", "").strip() or "0"
    if difficult not in ("0", "1"):
      raise InputError(f"{where}: difficult {difficult[:80]!r}: must be 0 or 1")
    labels.append((label, difficult == "1"))
  return labels


def _name(element: ElementTree.Element) -> str | None:
  return element.findtext("name", "").strip() or None


def _objects(path: Path) -> list[tuple[str, ElementTree.Element]]:
  with path.open("rb") as file:
    return xml_objects(str(path), file.read(_LARGEST_XML + 1))


def xml_objects(
  name: str, content: bytes
) -> list[tuple[str, ElementTree.Element]]:
  """The objects of such an annotation, each with where it is, for messages.

  Args:
    name: of the file.
    content: of the file.

  Raises:
    InputError: if the file is not as it should be.
  """
  if len(content) > _LARGEST_XML:
    raise InputError(f"{name}: too large for an annotation: over 1 MB")
  try:
    text = content.decode("utf-8-sig")
    if re.search("<!(DOCTYPE|ENTITY)", text):
      raise InputError(f"{name}: an annotation must have no DOCTYPE")
    root = ElementTree.fromstring(text)
  except (UnicodeDecodeError, ElementTree.ParseError) as error:
    raise InputError(f"{name}: not an XML file in UTF-8: {error}") from error
  if root.tag != "annotation":
    raise InputError(
      f"{name}: the outermost element must be annotation; it is "
      f"{root.tag[:80]!r}"
    )
  return [
    (f"{name}: object {number}", element)
    for number, element in enumerate(root.findall("object"), start=1)
  ]


def object_edges(
  where: str, element: ElementTree.Element, *, is_ilsvrc: bool
) -> Edges:
  """The box of an object of `xml_objects`.

  Args:
    where: it is, for the message.
    element: the object.
    is_ilsvrc: see `read_xml`.

  Raises:
    InputError: if it has none, or none that can be.
  """
  words = [element.findtext(f"bndbox/{c}") or "missing" for c in _CORNERS]
  return _edges(where, words, 0 if is_ilsvrc else 1, is_ilsvrc)


def _edges(
  where: str, words: Sequence[str], first: int, is_ilsvrc: bool
) -> Edges:
  """The outer edges of a box of xmin, ymin, xmax, ymax.

  Args:
    where: for the message.
    words: the four.
    first: the number of the first pixel.
    is_ilsvrc: some of ImageNet's boxes begin far outside of the image; others'
      may by a pixel.
  """
  least = -_LONGEST if is_ilsvrc else first - 1
  try:
    xmin, ymin, xmax, ymax = map(float, words)
  except ValueError:
    xmin = ymin = xmax = ymax = float("nan")
  if not (
    least <= xmin <= xmax
    and first <= xmax < _LONGEST
    and least <= ymin <= ymax
    and first <= ymax < _LONGEST
  ):
    raise InputError(
      f"{where}: box {' '.join(words)[:80]!r}: must be four numbers xmin ymin "
      f"xmax ymax, pixels from {first} on, xmin <= xmax and ymin <= ymax"
    )
  return xmin - first, ymin - first, xmax + 1 - first, ymax + 1 - first
