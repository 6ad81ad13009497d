"""What is refused of the bounding boxes of folders, in one line."""

import numpy as np
import pytest
from box_files import CLS_LOC, write, xml
from pictures import encode, picture
from source_records import own_cache as own_cache

from vggjax.data import pipeline
from vggjax.data.sources import open_source
from vggjax.errors import InputError


@pytest.fixture
def one(tmp_path):
  """A folder of two images of a class, 8 x 6 pixels."""
  for name in "ab":
    write(tmp_path / f"train/cat/{name}.png", encode(picture(6, 8)))
  return tmp_path


def refused(root, split="train", **options):
  with pytest.raises(InputError) as error:
    open_source(f"folder:{root}", split, with_boxes=True, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


HEADER = "file,xmin,ymin,xmax,ymax,label\n"


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ("train/cat/a,3,0,2,3,", "boxes.csv:2: box '3 0 2 3': must be four numb"),
    ("train/cat/a,0,3,2,2,", "'0 3 2 2': must be four"),
    ("train/cat/a,0,0,x,3,", "'0 0 x 3': must be four"),
    ("train/cat/a,0,0,nan,3,", "'0 0 nan 3': must be four"),
    ("train/cat/a,0,0,inf,3,", "'0 0 inf 3': must be four"),
    ("train/cat/a,0,0,1e9,3,", "'0 0 1e9 3': must be four"),
    ("train/cat/a,-2,0,3,3,", "'-2 0 3 3': must be four numbers xmin"),
    ("train/cat/a,-1,0,-1,3,", "'-1 0 -1 3': must be four numbers xmin"),
    ("train/cat/a,0,0", "'0 0  ': must be four"),
    (",0,0,3,3,", "boxes.csv:2: no file"),
    ("c,0,0,3,3,", "boxes.csv:2: there is no image of the name 'c'"),
    ("train/cat/a,0,0,3,3,dog", "no image of train has a box of its class"),
    ("\xff", "boxes.csv: not a CSV file: 'utf-8' codec can't decode"),
    (f'"{200_000 * "x"}"', "boxes.csv: not a CSV file: field larger"),
  ],
)
def test_damaged_tables(one, row, message):
  write(one / "boxes.csv", (HEADER + row).encode("latin-1"))
  assert message in refused(one)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("n1 0 0 3", "LOC_train_solution.csv:2: 'n1 0 0 3': must be five words"),
    ("", "'': must be five words a box, synset xmin ymin xmax ymax"),
    ("cat 0 0 3 n1", "'0 0 3 n1': must be four numbers"),
    ("cat 3 0 2 3", "'3 0 2 3': must be four numbers"),
    ("cat -9 0 -1 3", "'-9 0 -1 3': must be four numbers"),
    ("dog 0 0 2 3", "no image of train has a box of its class; looked in LOC"),
  ],
)
def test_damaged_solutions(one, text, message):
  rows = f"ImageId,PredictionString\na,{text}\n"
  write(one / "LOC_train_solution.csv", rows)
  assert message in refused(one)


def test_other_bad_tables(one):
  write(one / "boxes.csv", "file,left,top\n")
  assert "the header must be file,xmin,ymin,xmax,ymax[,label]" in refused(one)
  write(one / "boxes.csv", "")
  assert "it is ''" in refused(one)
  (one / "boxes.csv").unlink()
  message = refused(one)
  assert "looked in LOC_train_solution.csv, boxes.csv, NAME.xml" in message
  write(one / "train/dog/a.png", encode(picture(6, 8)))
  write(
    one / "LOC_train_solution.csv",
    "ImageId,PredictionString\na,cat 0 0 3 3\n",
  )
  assert "several images have the name 'a': train/cat/a.png" in refused(one)
  with pytest.raises(InputError, match="and boxes need a folder:PATH"):
    open_source("shapes", "train", boxes="boxes.csv")


GOOD = "<object><name>cat</name><bndbox>%s</bndbox></object>"
CORNERS = "<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax>"


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (GOOD % CORNERS.replace("3<", "0<"), "object 1: box '1 1 0 0'"),
    (GOOD % CORNERS.replace("1<", "-1<"), "object 1: box '-1 -1 3 3'"),
    (GOOD % CORNERS.replace("1<", "NaN<"), "object 1: box 'NaN NaN 3 3'"),
    (GOOD % CORNERS.replace("1<", "\n1\n2<"), r"box '\n1\n2 \n1\n2 3 3'"),
    (2 * (GOOD % ""), "object 1: box 'missing missing missing missing'"),
    (GOOD % CORNERS + "<object><name>cat</name></object>", "object 2: box"),
    (GOOD, "not an XML file in UTF-8: not well-formed"),
    (GOOD % CORNERS.replace("</ymax>", ""), "not an XML file in UTF-8"),
    (2**20 * " ", "a.xml: too large for an annotation"),
    ("\xff", "not an XML file in UTF-8"),
  ],
)
def test_damaged_annotations(one, text, message):
  if "%s" in text:
    text = text.replace("%s", "<")
  text = f"<annotation>{text}</annotation>"
  write(one / "train/cat/a.xml", text.encode("latin-1"))
  assert message in refused(one)


def test_annotations_that_are_none(one):
  path = one / "train/cat/a.xml"
  bomb = '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>'
  for encoding in ("utf-8", "utf-8-sig"):
    write(path, bomb.encode(encoding))
    assert "must have no DOCTYPE" in refused(one)
  write(path, bomb.encode("utf-16"))
  assert "not an XML file in UTF-8" in refused(one)
  write(path, "<html></html>")
  assert "must be annotation; it is 'html'" in refused(one)
  write(path, "<annotation></annotation>")
  assert "no image of train has a box" in refused(one)


def test_an_annotation_of_two_images_is_refused(one):
  write(one / "Annotations/a.xml", f"<annotation>{GOOD % CORNERS}</annotation>")
  assert open_source(f"folder:{one}", "train", with_boxes=True).ids() == [
    "train/cat/a.png"
  ]
  write(one / "train/dog/a.png", encode(picture(6, 8)))
  message = refused(one)
  assert "a.xml: could be of train/cat/a.png and of train/dog/a.png" in message


def test_dogs_named_by_words_and_boxes_outside_in_imagenet(tmp_path):
  path = tmp_path / CLS_LOC / "train/n02092002/n02092002_1.JPEG"
  write(path, encode(picture(10, 20), "JPEG"))
  objects = [
    ("Scottish_deerhound", (-7, 0, 9, 4)),
    ("n02099601", (0, 0, 3, 3)),
    ("n02092002", (10, 5, 30, 9)),
  ]
  folder = tmp_path / "ILSVRC/Annotations/CLS-LOC/train/n02092002"
  write(folder / "n02092002_1.xml", xml(objects, 0))
  source = open_source(f"folder:{tmp_path}", "train", with_boxes=True)
  (found,) = source.true_boxes()
  np.testing.assert_allclose(found, [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])


def test_a_box_outside_of_the_image_is_named_when_met(one):
  rows = [
    "train/cat/a,0,0,3,3,",
    "train/cat/b,4,4,5,5,",
    "train/cat/b,8,0,9,3,",
  ]
  write(one / "boxes.csv", HEADER + "\n".join(rows))
  source = open_source(f"folder:{one}", "train", with_boxes=True)
  options = {"batch_size": 2, "crop_size": 6}
  for run in (
    source.true_boxes,
    lambda: list(pipeline.crop_batches(source, test_scale=6, **options)),
    lambda: next(
      pipeline.train_batches(source, train_scale=(6, 6), seed=0, **options)
    ),
  ):
    with pytest.raises(InputError) as error:
      run()
    message = str(error.value)
    assert "\n" not in message
    assert "cannot read (train/cat/b.png: the box with the edges" in message
    assert "[8.0, 0.0, 10.0, 4.0]" in message
    assert "covers nothing of the image, [0, 0, 8, 6]" in message
  left = open_source(f"folder:{one}", "train", with_boxes=True, on_error="skip")
  assert left.skipped == ("train/cat/b.png",)
  np.testing.assert_allclose(left.true_boxes(), [[[0, 0, 0.5, 2 / 3]]])


def test_a_file_without_an_image_is_named(one):
  write(one / "boxes.csv", HEADER + "train/cat/a,0,0,3,3,\n")
  write(one / "train/cat/a.png", "no image")
  source = open_source(f"folder:{one}", "train", with_boxes=True)
  with pytest.raises(InputError, match=r"train/cat/a\.png: damaged, or not an"):
    source.true_boxes()
