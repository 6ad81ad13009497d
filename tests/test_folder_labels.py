"""Folders whose images have several labels: layouts, and what is refused."""

import numpy as np
import pytest
from pictures import encode, picture
from source_records import own_cache as own_cache
from source_records import records_of
from voc_devkit import NAMES, OBJECTS, TARGETS, targets_of, write_devkit, xml

from vggjax.data.sources import open_source
from vggjax.errors import InputError


def open_labels(root, split, **options):
  return open_source(f"folder:{root}", split, multi_label=True, **options)


def refused(root, split="train", **options):
  with pytest.raises(InputError) as error:
    open_labels(root, split, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


def check(source, names, targets):
  assert source.multi_label
  assert source.ids() == names
  assert source.targets().dtype == np.int8
  np.testing.assert_array_equal(source.targets(), targets)
  assert (source.labels() == -1).all()
  records = records_of(source)
  for i, record in enumerate(records):
    assert record["id"].decode() == names[i]
    assert (record["targets"].dtype, record["label"]) == (np.int8, -1)
    np.testing.assert_array_equal(record["targets"], targets[i])
  assert len(records) == len(names)


@pytest.mark.parametrize("split", TARGETS)
def test_devkit(tmp_path, split):
  write_devkit(tmp_path)
  source = open_labels(tmp_path, split)
  assert source.class_names == NAMES
  stems = OBJECTS["val" if split == "validation" else split]
  check(source, [f"JPEGImages/{stem}.jpg" for stem in stems], TARGETS[split])
  # Whoever changes them changes their own.
  source.targets()[:] = 5
  np.testing.assert_array_equal(source.targets(), TARGETS[split])


def test_a_split_of_a_devkit_without_annotations_is_unknown(tmp_path):
  write_devkit(tmp_path, annotated=("train",))
  assert open_labels(tmp_path, "train").targets().any()
  source = open_labels(tmp_path, "test")
  assert source.class_names == ("bicycle", "car", "horse", "person")
  check(source, source.ids(), np.zeros((3, 4)))


def test_some_annotations_of_a_devkits_test_split_tell_no_classes(tmp_path):
  write_devkit(tmp_path)
  (tmp_path / "Annotations" / "000002.xml").unlink()
  assert not open_labels(tmp_path, "test").targets().any()
  assert open_labels(tmp_path, "train").targets().any()


# Image -> its objects, and the targets of a, b, c.
PICTURES = {
  "one": ([("a", None), ("b", 1), ("b", None)], (1, 1, -1)),
  "two": ([("c", 0), ("a", 1)], (0, -1, 1)),
  "three": ([], (-1, -1, -1)),
}


def write(root, image, xml_path, objects):
  for path in (root / image, root / xml_path):
    path.parent.mkdir(parents=True, exist_ok=True)
  (root / image).write_bytes(encode(picture(6, 8, len(image))))
  (root / xml_path).write_text(xml(objects))


@pytest.mark.parametrize(
  "place", ["val/deep/{}.xml", "Annotations/{}.xml", "Annotations/deep/{}.xml"]
)
def test_split_folders(tmp_path, place):
  for name, (objects, _) in PICTURES.items():
    write(tmp_path, f"val/deep/{name}.png", place.format(name), objects)
  # What is seen in another split is a class of all.
  write(tmp_path, "train/x.png", "train/x.xml", [("b", 1), ("c", 0)])
  if "Annotations" in place:
    (tmp_path / "train/x.xml").rename(tmp_path / "Annotations/x.xml")
  (tmp_path / "test").mkdir()
  (tmp_path / "test/y.png").write_bytes(encode(picture(6, 8)))
  names = [f"val/deep/{name}.png" for name in sorted(PICTURES)]
  targets = [PICTURES[name][1] for name in sorted(PICTURES)]
  check(open_labels(tmp_path, "validation"), names, targets)
  check(open_labels(tmp_path, "train"), ["train/x.png"], [(-1, 0, 1)])
  check(open_labels(tmp_path, "test"), ["test/y.png"], [(0, 0, 0)])
  assert "has no split 'extra'; it has train, validation, test" in refused(
    tmp_path, "extra"
  )


def test_splits_by_hash(tmp_path):
  for i in range(60):
    objects = [("even", 0)] if i % 2 == 0 else [("odd", 0), ("even", 1)]
    write(tmp_path, f"{i:02}.png", f"{i:02}.xml", objects)
  names = []
  for split in TARGETS:
    source = open_labels(tmp_path, split)
    odd = [int(name[:2]) % 2 for name in source.ids()]
    expected = [(0, 1) if is_odd else (1, -1) for is_odd in odd]
    check(source, source.ids(), expected)
    names += source.ids()
    assert open_labels(tmp_path, split, seed=1).ids() != source.ids()
  assert sorted(names) == [f"{i:02}.png" for i in range(60)]


def test_class_list(tmp_path):
  write_devkit(tmp_path)
  reverse = [*NAMES[::-1], "sofa"]
  (tmp_path / "names.txt").write_text("\n".join(reverse))
  source = open_labels(tmp_path, "train", class_list="names.txt")
  assert source.class_names == tuple(reverse)
  np.testing.assert_array_equal(source.targets(), targets_of("train", reverse))
  (tmp_path / "names.txt").write_text("\n".join(NAMES[1:]))
  assert "label 'bicycle' is not in the class list of 4" in refused(
    tmp_path, class_list="names.txt"
  )


def test_targets_stay_with_their_images(tmp_path):
  write_devkit(tmp_path)
  source = open_labels(tmp_path, "train")
  rows = np.array(TARGETS["train"])
  left = source.without([0, 2])
  check(left, [source.ids()[i] for i in (1, 3)], rows[[1, 3]])
  image = tmp_path / "JPEGImages/000017.jpg"
  image.write_bytes(image.read_bytes()[:80])
  left = open_labels(tmp_path, "train", on_error="skip")
  assert left.skipped == ("JPEGImages/000017.jpg",)
  assert left.multi_label
  np.testing.assert_array_equal(left.targets(), rows[[0, 2, 3]])
  check(left, [source.ids()[i] for i in (0, 2, 3)], rows[[0, 2, 3]])


def test_fingerprint_covers_the_targets(tmp_path):
  write(tmp_path, "train/a.png", "train/a.xml", [("a", 0), ("b", 0)])
  plain = open_source(f"folder:{tmp_path}", "train")
  found = {plain.fingerprint}
  for difficult in (0, 1, 0):
    objects = [("a", 0), ("b", difficult)]
    write(tmp_path, "train/a.png", "train/a.xml", objects)
    found.add(open_labels(tmp_path, "train").fingerprint)
    again = open_source(f"folder:{tmp_path}", "train")
    assert again.fingerprint == plain.fingerprint
  assert len(found) == 3
  assert "targets" not in records_of(plain)[0]
  with pytest.raises(ValueError, match="not opened as multi-label"):
    plain.targets()


def test_refused_devkits(tmp_path):
  write_devkit(tmp_path)
  for options in (
    {"with_boxes": True},
    {"boxes": "Annotations"},
    {"labels_csv": "labels.csv"},
  ):
    assert "leave out with_boxes, boxes and labels_csv" in refused(
      tmp_path, **options
    )
  (tmp_path / "Annotations/000017.xml").unlink()
  message = refused(tmp_path)
  assert "JPEGImages/000017.jpg: has no XML file, as other images" in message
  (tmp_path / "JPEGImages/000002.jpg").unlink()
  message = refused(tmp_path, "test")
  assert "Main/test.txt: there is no image of the name 'JPEGImages/0" in message
  main = tmp_path / "ImageSets/Main"
  (main / "test.txt").write_text("../JPEGImages/000001\n")
  assert "no image of the name" in refused(tmp_path, "test")
  (main / "test.txt").write_text("000001\n000001\n")
  assert "test.txt: lists '000001' twice" in refused(tmp_path, "test")
  (main / "test.txt").write_bytes(b"\xff\n")
  assert "test.txt: not a text in UTF-8" in refused(tmp_path, "test")
  (main / "val.txt").write_text("")
  assert "split 'validation' holds no image" in refused(tmp_path, "validation")
  (main / "val.txt").unlink()
  message = "has no split 'validation'; it has train, test"
  assert message in refused(tmp_path, "validation")


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (xml([("a", 0), ("b", 2)]), "object 2: difficult '2': must be 0 or 1"),
    (xml([("a", "yes")]), "object 1: difficult 'yes': must be 0 or 1"),
    (xml([("a", 0), (" ", 0)]), "a.xml: object 2: has no name"),
    (xml([("a", 0)])[:-1], "a.xml: not an XML file in UTF-8"),
    ("<html></html>", "must be annotation; it is 'html'"),
    (xml([]), "no XML file with an object beside the images or in Annotations"),
  ],
)
def test_refused_annotations(tmp_path, text, message):
  write(tmp_path, "train/a.png", "train/a.xml", [])
  (tmp_path / "train/a.xml").write_text(text)
  assert message in refused(tmp_path)


def test_a_folder_without_annotations_is_refused(tmp_path):
  assert "no such folder" in refused(tmp_path / "absent")
  (tmp_path / "train").mkdir()
  (tmp_path / "train/a.png").write_bytes(encode(picture(6, 8)))
  assert "no XML file with an object" in refused(tmp_path)
