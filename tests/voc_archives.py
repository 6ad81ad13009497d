"""Small archives of Caltech-256 and of VOC-2012's actions, official layouts."""

import io
import tarfile
from pathlib import Path

from pictures import encode, picture

CALTECH = "256_ObjectCategories"
VOC = "VOCdevkit/VOC2012"
TRAINVAL_TAR, TEST_TAR = "VOCtrainval_11-May-2012.tar", "VOC2012test.tar"
TEN = (
  "jumping",
  "phoning",
  "playinginstrument",
  "reading",
  "ridingbike",
  "ridinghorse",
  "running",
  "takingphoto",
  "usingcomputer",
  "walking",
)
# split: {image: (height, width, objects)}; an object is its class, its box of
# pixels from 1, both ends in it, or None, and what a person does.
PEOPLE = {
  "train": {
    "2010_000010": (
      20,
      40,
      [
        ("horse", (3, 5, 30, 20), None),
        ("person", (11, 1, 20, 12), ["ridinghorse"]),
        ("person", (1, 6, 40, 20), ["phoning", "walking"]),
      ],
    ),
    "2011_000002": (
      16,
      12,
      [("person", None, None), ("person", (2, 3, 11, 16), ["jumping"])],
    ),
    "2012_000030": (10, 10, [("person", (1, 1, 10, 10), ["other"])]),
  },
  "val": {
    "2010_000011": (12, 24, [("person", (1, 1, 12, 6), ["reading"])]),
    "2011_000005": (
      24,
      12,
      [
        ("person", (1, 1, 6, 24), ["running", "jumping"]),
        ("person", (7, 13, 12, 24), ["takingphoto"]),
      ],
    ),
  },
  "test": {
    "2010_000012": (8, 16, [("person", (9, 1, 16, 8), None)]),
    "2011_000007": (
      14,
      14,
      [("person", None, None), ("person", (1, 8, 14, 14), None)],
    ),
  },
}


def write_archive(manual: Path, files: dict[str, bytes], tar: str = "") -> None:
  """Writes files below a folder, or to a tar file in it."""
  manual.mkdir(parents=True, exist_ok=True)
  if tar:
    with tarfile.open(manual / tar, "w") as archive:
      for name, content in files.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return
  for name, content in files.items():
    path = manual / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def caltech_files(counts: dict[str, int]) -> dict[str, bytes]:
  """The content of each file.

  Args:
    counts: how many images each folder has, as {"001.ak47": 3}.
  """
  return {
    f"{CALTECH}/{folder}/{folder[:3]}_{number:04d}.jpg": encode(
      picture(10 + number, 12, int(folder[:3])), "JPEG"
    )
    for folder, count in counts.items()
    for number in range(1, count + 1)
  }


def action_files(
  splits: tuple[str, ...], people: dict = PEOPLE
) -> dict[str, bytes]:
  """The content of each file of the tar of these splits.

  Args:
    splits: of train, val and test.
    people: as PEOPLE. A person listed has a box; one who does nothing in train
      or val is not listed.
  """
  files = {}
  for split in splits:
    for image, (height, width, objects) in people[split].items():
      files[f"{VOC}/JPEGImages/{image}.jpg"] = encode(
        picture(height, width, len(files)), "JPEG"
      )
      files[f"{VOC}/Annotations/{image}.xml"] = _annotation(objects)
    # The images alone; the devkit reads the people from the other lists.
    lines = {"": [*people[split]], **{f"{name}_": [] for name in TEN}}
    for image, (_, _, objects) in people[split].items():
      for number, (_, box, actions) in enumerate(objects, start=1):
        if box is None or (actions is None and split != "test"):
          continue
        for name in TEN:
          # New in VOC2011.
          if name == "jumping" and image.startswith("2010"):
            continue
          truth = f"  {1 if name in actions else -1:2d}" if actions else ""
          lines[f"{name}_"].append(f"{image}  {number}{truth}")
    for name, some in lines.items():
      path = f"{VOC}/ImageSets/Action/{name}{split}.txt"
      files[path] = "".join(f"{line}\n" for line in some).encode()
  return files


def _annotation(objects) -> bytes:
  lines = ["<annotation>"]
  for name, box, actions in objects:
    lines.append(f"  <object><name>{name}</name>")
    if actions is not None:
      words = [
        f"<{action}>{int(action in actions)}</{action}>"
        for action in (*TEN, "other")
      ]
      lines.append(f"    <actions>{''.join(words)}</actions>")
    if box is None:
      lines.append("    <point><x>3</x><y>2</y></point>")
    else:
      xmin, ymin, xmax, ymax = box
      lines.append(
        f"    <bndbox><xmax>{xmax}</xmax><xmin>{xmin}</xmin>"
        f"<ymax>{ymax}</ymax><ymin>{ymin}</ymin></bndbox>"
      )
    lines.append("    <difficult>0</difficult></object>")
  return "\n".join([*lines, "</annotation>"]).encode()
