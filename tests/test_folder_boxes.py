"""The bounding boxes of folders: layouts, and what is refused."""

import csv
import hashlib
import re

import numpy as np
import pytest
from boxed_pictures import encoded_scene, scene, true_boxes
from pictures import encode, picture
from PIL import Image
from source_records import own_cache as own_cache

from vggjax.data import boxes as box_arrays
from vggjax.data import pipeline
from vggjax.data.sources import open_source
from vggjax.errors import InputError

NUM_SCENES = 6
KEPT = [i for i in range(NUM_SCENES) if i % 4 != 3]
CLS_LOC = "ILSVRC/Data/CLS-LOC"


def synset(label):
  return f"n0000000{label}"


def write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  if isinstance(content, str):
    content = content.encode()
  path.write_bytes(content)


def xml(objects, first):
  """VOC's XML, with a part, and a size that is not to be believed."""
  elements = "".join(
    f"<object><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    f"<name>{name}</name><bndbox><xmin>{xmin + first}</xmin>"
    f"<ymin>{ymin + first:.3f}</ymin><xmax>{xmax + first}</xmax>"
    f"<ymax>{ymax + first}</ymax></bndbox></object>"
    for name, (xmin, ymin, xmax, ymax) in objects
  )
  size = "<size><width>1000</width><height>1000</height></size>"
  return f'<?xml version="1.0"?>\n<annotation>{size}{elements}</annotation>'


def named_objects(number):
  return [(synset(name), box) for name, box in scene(number)[2]]


def solution(folder_of):
  """A LOC_*_solution.csv of the scenes."""
  rows = ["ImageId,PredictionString"]
  for i in range(NUM_SCENES):
    words = " ".join(
      f"{name} {' '.join(map(str, box))}" for name, box in named_objects(i)
    )
    rows.append(f"{folder_of(i)},{words} ")
  return "\n".join(rows)


def kaggle_image(number, split):
  folder = f"/{synset(scene(number)[1])}" if split == "train" else ""
  return f"{split}{folder}/img_{number}"


def kaggle_tree(root, split="train"):
  for i in range(NUM_SCENES):
    path = root / CLS_LOC / f"{kaggle_image(i, split)}.JPEG"
    write(path, encoded_scene(i))


def kaggle_csv(root):
  kaggle_tree(root)
  text = solution(lambda i: f"img_{i}")
  write(root / "LOC_train_solution.csv", f"{text}\nimg_99,n00000000 1 2 3 4\n")
  return "train"


def kaggle_xml(root):
  kaggle_tree(root)
  for i in range(NUM_SCENES):
    path = root / "ILSVRC/Annotations/CLS-LOC" / kaggle_image(i, "train")
    write(path.with_suffix(".xml"), xml(named_objects(i), 0))
  return "train"


def kaggle_xml_without_folder(root):
  kaggle_xml(root)
  (root / "ILSVRC/Data").rename(root / "Data")
  (root / "ILSVRC/Annotations").rename(root / "Annotations")
  return "train"


def class_folders(root):
  for i in range(NUM_SCENES):
    write(root / f"{kaggle_image(i, 'train')}.jpg", encoded_scene(i))
  return "train"


def class_folders_csv(root):
  class_folders(root)
  write(root / "LOC_train_solution.csv", solution(lambda i: f"img_{i}"))
  return "train"


def boxes_csv(root):
  class_folders(root)
  rows = ["xmin,ymin,xmax,ymax,label,file"]
  for i in range(NUM_SCENES):
    for name, box in named_objects(i):
      rows.append(
        f"{','.join(map(str, box))},{name},{kaggle_image(i, 'train')}"
      )
  write(root / "boxes.csv", "\n".join(rows))
  return "train"


def boxes_csv_without_labels(root):
  class_folders(root)
  rows = ["file,xmin,ymin,xmax,ymax,note"]
  for i in range(NUM_SCENES):
    for name, box in named_objects(i):
      if name == synset(scene(i)[1]):
        rows.append(
          f"{kaggle_image(i, 'train')}.jpg,{','.join(map(str, box))},"
        )
  write(root / "boxes.csv", "\n".join(rows))
  return "train"


def voc(root, path_of):
  class_folders(root)
  for i in range(NUM_SCENES):
    write(root / f"{path_of(i)}.xml", xml(named_objects(i), 1))
  return "train"


def voc_beside(root):
  return voc(root, lambda i: kaggle_image(i, "train"))


def voc_parallel(root):
  return voc(root, lambda i: f"Annotations/{kaggle_image(i, 'train')}")


def voc_flat(root):
  return voc(root, lambda i: f"Annotations/img_{i}")


LAYOUTS = [
  kaggle_csv,
  kaggle_xml,
  kaggle_xml_without_folder,
  class_folders_csv,
  boxes_csv,
  boxes_csv_without_labels,
  voc_beside,
  voc_parallel,
  voc_flat,
]


def check_boxes(source, numbers):
  assert source.with_boxes
  assert [int(re.findall(r"\d+", name)[-1]) for name in source.ids()] == numbers
  assert source.num_examples == len(numbers)
  expected = [scene(i)[1] for i in numbers]
  assert [source.class_names[n] for n in source.labels()] == list(
    map(synset, expected)
  )
  for found, i in zip(source.true_boxes(), numbers, strict=True):
    np.testing.assert_allclose(found, true_boxes(i), atol=1e-7)


def by_class(numbers):
  return sorted(numbers, key=lambda i: (scene(i)[1], i))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
  split = layout(tmp_path)
  source = open_source(f"folder:{tmp_path}", split, with_boxes=True)
  check_boxes(source, by_class(KEPT))
  assert source.without_boxes == NUM_SCENES - len(KEPT)
  plain = open_source(f"folder:{tmp_path}", split)
  assert plain.num_examples == NUM_SCENES
  assert (plain.with_boxes, plain.without_boxes) == (False, 0)


@pytest.mark.parametrize("flat", [False, True])
def test_solution_of_the_validation_set(tmp_path, flat):
  """Every box of it is of the image's class."""
  below = "images" if flat else f"{CLS_LOC}/val"
  rows = ["ImageId,PredictionString"]
  for i in KEPT:
    _, label, objects = scene(i)
    write(tmp_path / below / f"img_{i}.JPEG", encoded_scene(i))
    boxes = [box for name, box in objects if name == label]
    words = [f"{synset(label)} {' '.join(map(str, b))}" for b in boxes]
    rows.append(f"img_{i},{' '.join(words)}")
  write(tmp_path / "LOC_val_solution.csv", "\n".join(rows))
  source = open_source(f"folder:{tmp_path}", "validation", with_boxes=True)
  assert source.is_imagenet != flat
  check_boxes(source, KEPT)
  assert source.without_boxes == 0


def test_the_place_can_be_given(tmp_path):
  boxes_csv(tmp_path)
  (tmp_path / "mine").mkdir()
  (tmp_path / "boxes.csv").rename(tmp_path / "mine/of.csv")
  for i in KEPT[:2]:
    write(tmp_path / f"xml/img_{i}.xml", xml(named_objects(i), 1))
  spec = f"folder:{tmp_path}"
  options = {"split": "train", "with_boxes": True}
  check_boxes(open_source(spec, boxes="mine/of.csv", **options), by_class(KEPT))
  source = open_source(spec, boxes="xml", **options)
  check_boxes(source, by_class(KEPT[:2]))
  assert source.without_boxes == NUM_SCENES - 2
  with pytest.raises(InputError, match=r"absent: no such file or folder of b"):
    open_source(spec, boxes="absent", **options)


def test_the_real_images(imagenet_images):
  source = open_source(f"folder:{imagenet_images}", "test", with_boxes=True)
  found = source.true_boxes()
  assert len(found) == 128
  assert sum(map(len, found)) == 193
  with (imagenet_images / "LOC_val_solution.csv").open() as file:
    strings = dict(row for row in csv.reader(file))
  for name, boxes in zip(source.ids(), found, strict=True):
    path = imagenet_images / name
    with Image.open(path) as image:
      width, height = image.size
    words = strings[path.stem].split()
    expected = []
    for i in range(0, len(words), 5):
      xmin, ymin, xmax, ymax = map(int, words[i + 1 : i + 5])
      area = (xmax + 1 - xmin) * (ymax + 1 - ymin)
      box = [xmin / width, ymin / height, (xmax + 1) / width]
      expected.append((area, [*box, (ymax + 1) / height]))
    expected.sort(key=lambda pair: -pair[0])
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    np.testing.assert_allclose(boxes, [box for _, box in expected], atol=1e-6)


def test_fingerprint_covers_the_boxes(tmp_path):
  class_folders(tmp_path)
  spec, path = f"folder:{tmp_path}", tmp_path / "boxes.csv"
  plain = open_source(spec, "train")
  lines = [
    f"{name}\t{(tmp_path / name).stat().st_size}" for name in plain.ids()
  ]
  content = hashlib.sha256("\n".join(lines).encode()).hexdigest()
  found = {content}
  for text in ("0,0,3,3", "0,0,3,4", "0,0,3,3"):
    rows = [f"{name},{text}" for name in plain.ids()]
    write(path, "\n".join(["file,xmin,ymin,xmax,ymax", *rows]))
    found.add(open_source(spec, "train", with_boxes=True).fingerprint)
    assert open_source(spec, "train").fingerprint == content
  assert len(found) == 3


def test_clipped_to_the_image_and_equal_ones_in_order():
  edges = [(-3, 2, 5, 4), (0, 0, 5, 2), (8, 4, 99, 9), (0, 0, 10, 8)]
  found = box_arrays.fractions(np.array(edges, np.float32), (10, 8), "a")
  np.testing.assert_allclose(
    found * [10, 8, 10, 8],
    [(0, 0, 10, 8), (0, 2, 5, 4), (0, 0, 5, 2), (8, 4, 10, 8)],
    atol=1e-5,
  )
  assert found.dtype == np.float32


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
