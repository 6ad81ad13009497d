"""A small VOC devkit: nine images whose targets are written by hand."""

import numpy as np
from pictures import encode, picture

# Split -> image -> its objects: class, difficult.
OBJECTS = {
  "train": {
    "000012": [("car", 0), ("car", 0), ("horse", 1)],
    "000017": [("horse", 0), ("person", 1), ("horse", 1)],
    "000023": [("bicycle", 1)],
    "000026": [("person", 1), ("person", 1), ("person", 0)],
  },
  "val": {
    "000005": [("dog", 0)],
    "000007": [("dog", 1), ("car", 1)],
  },
  "test": {
    "000001": [("dog", 0), ("person", 0)],
    "000002": [("person", 1), ("car", 0)],
    "000003": [("horse", 0)],
  },
}
NAMES = ("bicycle", "car", "dog", "horse", "person")
# Of NAMES, an image a row; VOC's other classes are -1.
TARGETS = {
  "train": [
    (-1, 1, -1, 0, -1),
    (-1, -1, -1, 1, 0),
    (0, -1, -1, -1, -1),
    (-1, -1, -1, -1, 1),
  ],
  "validation": [(-1, -1, 1, -1, -1), (-1, 0, 0, -1, -1)],
  "test": [(-1, -1, 1, -1, 1), (-1, 1, -1, -1, 0), (-1, -1, -1, 1, -1)],
}


def xml(objects):
  """With parts, which have names too, and edges between pixels."""
  elements = "".join(
    "<object><part><name>head</name><difficult>1</difficult><bndbox>"
    "<xmin>1</xmin></bndbox></part>"
    f"<name>{name}</name><pose>Left</pose><truncated>1</truncated>"
    f"{'' if difficult is None else f'<difficult>{difficult}</difficult>'}"
    "<bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>7.25</xmax><ymax>5</ymax>"
    "</bndbox></object>"
    for name, difficult in objects
  )
  size = "<size><width>8</width><height>6</height><depth>3</depth></size>"
  return f"<annotation>{size}{elements}</annotation>"


def write_devkit(root, *, annotated=("train", "val", "test")):
  """VOCdevkit/VOC20xx as in the official archives."""
  for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
    (root / folder).mkdir(parents=True)
  # The masks have the names of the images.
  (root / "SegmentationClass").mkdir()
  (root / "SegmentationClass/000012.png").write_bytes(encode(picture(6, 8)))
  for split, found in OBJECTS.items():
    lines = "".join(f"{name}\n" for name in found)
    (root / f"ImageSets/Main/{split}.txt").write_text(lines)
    flags = "".join(f"{name} -1\n" for name in found)
    (root / f"ImageSets/Main/car_{split}.txt").write_text(flags)
    for name, objects in found.items():
      image = encode(picture(6, 8, int(name)), "JPEG")
      (root / f"JPEGImages/{name}.jpg").write_bytes(image)
      if split in annotated:
        (root / f"Annotations/{name}.xml").write_text(xml(objects))
  # Of another task's images.
  (root / "Annotations/000099.xml").write_text(xml([("person", 0)]))


def targets_of(split, class_names):
  """int8 [N, K] of TARGETS, in the order of the names."""
  rows = np.full((len(TARGETS[split]), len(class_names)), -1, np.int8)
  rows[:, [class_names.index(name) for name in NAMES]] = TARGETS[split]
  return rows
