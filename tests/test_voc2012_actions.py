"""The builder voc2012_actions, from small archives of the official layout."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from voc_archives import (
  PEOPLE,
  TEN,
  TEST_TAR,
  TRAINVAL_TAR,
  VOC,
  action_files,
  write_archive,
)

import vggjax.data.datasets as datasets
from vggjax.errors import InputError

ACTIONS = (*TEN, "other")
JUMPING = ACTIONS.index("jumping")
# By hand: the box as fractions ymin, xmin, ymax, xmax; what the person does;
# what is not known.
EXPECTED = {
  "train": {
    "2010_000010_2.jpg": ((0, 1 / 4, 3 / 5, 1 / 2), "ridinghorse", "jumping"),
    "2010_000010_3.jpg": ((1 / 4, 0, 1, 1), "phoning walking", "jumping"),
    "2011_000002_2.jpg": ((1 / 8, 1 / 12, 1, 11 / 12), "jumping", ""),
    "2012_000030_1.jpg": ((0, 0, 1, 1), "other", ""),
  },
  "validation": {
    "2010_000011_1.jpg": ((0, 0, 1 / 2, 1 / 2), "reading", "jumping"),
    "2011_000005_1.jpg": ((0, 0, 1, 1 / 2), "jumping running", ""),
    "2011_000005_2.jpg": ((1 / 2, 1 / 2, 1, 1), "takingphoto", ""),
  },
  "test": {
    "2010_000012_1.jpg": ((0, 1 / 2, 1, 1), "", ""),
    "2011_000007_2.jpg": ((1 / 2, 0, 1, 1), "", ""),
  },
}


def write(data_dir, kind, *, with_test=True, files=None):
  """Writes the archive of all splits, or of train and val alone."""
  manual = data_dir / "downloads/manual"
  files = files or {}
  trainval = {**action_files(("train", "val")), **files}
  trainval = {name: c for name, c in trainval.items() if c is not None}
  write_archive(manual, trainval, TRAINVAL_TAR if kind == "tar" else "")
  if with_test:
    tar = TEST_TAR if kind == "tar" else ""
    write_archive(manual, action_files(("test",)), tar)


def prepared(data_dir):
  builder = tfds.builder("voc2012_actions", data_dir=data_dir)
  assert isinstance(builder, datasets.Voc2012Actions)
  builder.download_and_prepare(file_format="array_record")
  return builder


def examples(builder, split):
  """By name; the images are not decoded."""
  source = builder.as_data_source(
    split, decoders={"image": tfds.decode.SkipDecoding()}
  )
  return {example["file_name"].decode(): example for example in source}


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_prepares_offline(tmp_path, kind):
  write(tmp_path, kind)
  builder = prepared(tmp_path)
  assert sorted(builder.info.splits) == ["test", "train", "validation"]
  assert tuple(builder.info.features["labels"].feature.names) == ACTIONS
  files = action_files(("train", "val"))
  for split, expected in EXPECTED.items():
    found = examples(builder, split)
    assert sorted(found) == sorted(expected)
    own = action_files(("test",)) if split == "test" else files
    for name, (box, actions, unknown) in expected.items():
      example = found[name]
      np.testing.assert_allclose(example["bbox"], box, atol=1e-6)
      certain = {ACTIONS[i] for i in example["labels_no_difficult"]}
      assert certain == set(actions.split())
      assert len(example["labels_no_difficult"]) == len(certain)
      labels = {ACTIONS[i] for i in example["labels"]}
      assert labels - certain == set(unknown.split())
      assert certain <= labels
      image = f"{VOC}/JPEGImages/{name.rpartition('_')[0]}.jpg"
      assert example["image"] == own[image]


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_without_the_test_set(tmp_path, kind):
  write(tmp_path, kind, with_test=False)
  builder = prepared(tmp_path)
  assert sorted(builder.info.splits) == ["train", "validation"]
  assert sorted(examples(builder, "train")) == sorted(EXPECTED["train"])


def test_a_test_set_with_truths(tmp_path):
  """Lists as of train are read, and 0 there is unknown."""
  write(tmp_path, "tar", with_test=False)
  image = {"2011_000007": (9, 9, [("person", (1, 1, 9, 9), ["walking"])])}
  files = action_files(("test",), {"test": image})
  name = f"{VOC}/ImageSets/Action/reading_test.txt"
  files[name] = files[name].replace(b"-1", b"0")
  write_archive(tmp_path / "downloads/manual", files, TEST_TAR)
  (example,) = examples(prepared(tmp_path), "test").values()
  known, both = example["labels_no_difficult"], example["labels"]
  assert [ACTIONS[i] for i in known] == ["walking"]
  assert [ACTIONS[i] for i in both] == ["reading", "walking"]


def refused(data_dir):
  with pytest.raises(InputError) as error:
    prepared(data_dir)
  assert "\n" not in str(error.value)
  return str(error.value)


def list_of(action, split="train"):
  return f"{VOC}/ImageSets/Action/{action}_{split}.txt"


FILES = action_files(("train", "val"))
XML = f"{VOC}/Annotations/2010_000010.xml"
PHONING = list_of("phoning")


def with_line(line):
  return FILES[PHONING] + line.encode()


@pytest.mark.parametrize("kind", ["tar", "folder"])
@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    (
      PHONING,
      with_line("2012_000030 2 1\n"),
      f"phoning_train.txt:5: object 2: DIR: {VOC}/Annotations/2012_000030.xml "
      "has 1 objects",
    ),
    (
      PHONING,
      with_line("2010_000010 1 1"),
      "phoning_train.txt:5: object 1: in DIR: "
      f"{XML} it is 'horse', not a person",
    ),
    (
      PHONING,
      with_line("2011_000002 1 -1"),
      "2011_000002.xml: object 1: box 'missing missing missing missing': must "
      "be four numbers",
    ),
    (
      PHONING,
      with_line("2012_000030 1 1"),
      "phoning_train.txt:5: lists object 1 of 2012_000030 twice",
    ),
    (
      PHONING,
      with_line("\n2012_000031 0 1"),
      "phoning_train.txt:6: '2012_0000",
    ),
    (PHONING, with_line("2012_000031 1"), "train.txt:5: '2012_000031 1': must"),
    (PHONING, with_line("../2012_000031 1 1"), "must be an image, the number"),
    (PHONING, with_line("2012_000031 1 2"), "object and -1, 0 or 1"),
    (PHONING, b"\xff", "phoning_train.txt: not a text in UTF-8"),
    (PHONING, with_line("2012_000031 1 1"), "has no file VOCdevkit/VOC2012/JP"),
    (PHONING, None, f"has no file {PHONING}"),
    (
      list_of("walking", "val"),
      None,
      "has no file VOCdevkit/VOC2012/ImageSets",
    ),
    (XML, None, f"has no file {XML}"),
    (XML, b"<annotation>", "2010_000010.xml: not an XML file in UTF-8"),
    (XML, b"<!DOCTYPE a>" + FILES[XML], "must have no DOCTYPE"),
    (XML, FILES[XML] + b" " * 2**20, "too large for an annotation: over 1 MB"),
    (
      XML,
      FILES[XML].replace(b"<other>0</other>", b""),
      f"{XML}: object 2: action 'other' 'missing': must be 0 or 1",
    ),
    (
      XML,
      FILES[XML].replace(b"<xmin>11</xmin>", b"<xmin>x</xmin>"),
      "object 2: box 'x 1 20 12': must be four numbers",
    ),
    (
      XML,
      FILES[XML].replace(b"<xmin>11</xmin>", b"<xmin>nan</xmin>"),
      "object 2: box 'nan 1 20 12': must be four numbers",
    ),
    (
      XML,
      FILES[XML].replace(b"<xmin>11</xmin>", b"<xmin>21</xmin>"),
      "object 2: box '21 1 20 12': must be four numbers",
    ),
    (
      list_of("jumping"),
      FILES[list_of("jumping")].replace(b" 1\n", b" -1\n"),
      "2011_000002.xml: object 2: does none of the actions, and is not 'other'",
    ),
    (
      f"{VOC}/JPEGImages/2010_000010.jpg",
      b"nothing",
      "JPEGImages/2010_000010.jpg: damaged, or not an image file",
    ),
  ],
)
def test_damaged_archives(tmp_path, kind, name, content, message):
  write(tmp_path, kind, files={name: content})
  said = refused(tmp_path)
  place = tmp_path / "downloads/manual"
  place = place / TRAINVAL_TAR if kind == "tar" else place
  assert said.startswith(str(place))
  assert message.replace("DIR", str(place)) in said
  assert not list(tmp_path.glob("voc2012_actions/**/*.array_record*"))


def test_missing_and_broken_archives(tmp_path):
  manual = tmp_path / "downloads/manual"
  manual.mkdir(parents=True)
  (manual / "other.tar").write_bytes(b"")
  said = f"has neither {TRAINVAL_TAR} nor its folder {VOC}; get it from http"
  assert said in refused(tmp_path)
  write(tmp_path, "tar")
  path = manual / TEST_TAR
  path.write_bytes(path.read_bytes()[:3000])
  assert f"{TEST_TAR}: not a whole tar file" in refused(tmp_path)
  write_archive(manual, {f"{VOC}/ImageSets/Action/test.txt": b""}, TEST_TAR)
  said = f"{TEST_TAR}: has no file {list_of('jumping', 'test')}"
  assert said in refused(tmp_path)


def test_lists_without_people(tmp_path):
  write(tmp_path, "tar", files={list_of(name, "val"): b"\n" for name in TEN})
  assert "Action/*_val.txt: they list no people" in refused(tmp_path)


def test_the_lists_are_as_the_development_kits():
  """2010's people are not in those of jumping; others are in all."""
  images = {line.split()[0] for line in FILES[PHONING].decode().splitlines()}
  assert images == set(PEOPLE["train"])
  assert b"2010" not in FILES[list_of("jumping")]
  assert FILES[PHONING].splitlines()[0].split() == [b"2010_000010", b"2", b"-1"]
