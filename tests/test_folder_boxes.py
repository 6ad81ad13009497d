"""The bounding boxes of folders: the layouts."""

import csv
import hashlib
import re

import numpy as np
import pytest
from box_files import CLS_LOC, write, xml
from boxed_pictures import encoded_scene, scene, true_boxes
from PIL import Image
from source_records import own_cache as own_cache

from vggjax.data import boxes as box_arrays
from vggjax.data.sources import open_source
from vggjax.errors import InputError

NUM_SCENES = 6
KEPT = [i for i in range(NUM_SCENES) if i % 4 != 3]


def synset(label):
  return f"n0000000{label}"


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
