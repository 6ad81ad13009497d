"""The builder ilsvrc2012_loc, from small archives of the official layout."""

import shutil
import zipfile

import numpy as np
import pytest
from pictures import encode, picture
from source_records import own_cache as own_cache
from source_records import records_of

from vggjax import imagenet
from vggjax.data.datasets.kaggle_archive import NAME
from vggjax.data.sources import open_source
from vggjax.errors import InputError

DATA = "ILSVRC/Data/CLS-LOC"
FIRST, SECOND, LAST = (imagenet.synsets()[i] for i in (0, 1, 999))
# Path, height, width, and boxes of pixels from 0.
TRAIN = (
  (f"{FIRST}/{FIRST}_10", 20, 30, [(0, 0, 9, 9), (10, 0, 29, 19)]),
  (f"{FIRST}/{FIRST}_2", 16, 12, []),
  (f"{LAST}/{LAST}_7", 9, 40, [(-3, 1, 39, 10)]),
)
VAL = (
  ("ILSVRC2012_val_00000001", 15, 25, SECOND, [(5, 5, 24, 14)]),
  ("ILSVRC2012_val_00000002", 25, 15, LAST, [(1, 1, 2, 2), (0, 3, 14, 24)]),
)
TEST = ("ILSVRC2012_test_00000001", 12, 12)


def as_words(synset, boxes):
  return " ".join(f"{synset} {' '.join(map(str, box))}" for box in boxes)


def archive_files():
  """The content of each file of the archive."""
  train, val = ["ImageId,PredictionString"], ["ImageId,PredictionString"]
  images = {}
  for path, height, width, boxes in TRAIN:
    images[f"{DATA}/train/{path}.JPEG"] = (height, width)
    synset, name = path.split("/")
    if boxes:
      train.append(f"{name},{as_words(synset, boxes)}")
  for name, height, width, synset, boxes in reversed(VAL):
    images[f"{DATA}/val/{name}.JPEG"] = (height, width)
    val.append(f"{name},{as_words(synset, boxes)} ")
  images[f"{DATA}/test/{TEST[0]}.JPEG"] = TEST[1:]
  files = {
    name: encode(picture(*size), "JPEG") for name, size in images.items()
  }
  # One of ImageNet's is PNG.
  files[f"{DATA}/train/{TRAIN[1][0]}.JPEG"] = encode(picture(16, 12))
  files["LOC_train_solution.csv"] = "\n".join(train).encode()
  files["LOC_val_solution.csv"] = "\n".join(val).encode()
  synsets = "".join(f"{name} words\n" for name in reversed(imagenet.synsets()))
  files["LOC_synset_mapping.txt"] = synsets.encode()
  files["ILSVRC/ImageSets/CLS-LOC/test.txt"] = b"ILSVRC2012_test_00000001 1\n"
  return files


def write_archive(data_dir, kind, files):
  manual = data_dir / "downloads/manual"
  manual.mkdir(parents=True)
  if kind == "zip":
    with zipfile.ZipFile(
      manual / f"{NAME}.zip", "w", zipfile.ZIP_DEFLATED
    ) as archive:
      for name, content in files.items():
        archive.writestr(name, content)
    return
  for name, content in files.items():
    path = manual / (NAME if kind == "folder" else "") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def expected_boxes(height, width, boxes):
  """The largest first, clipped."""
  edges = np.array([(a, b, c + 1, d + 1) for a, b, c, d in boxes], float)
  limits = [width, height, width, height]
  edges = edges.clip(0, limits)
  areas = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
  return (edges / limits)[np.argsort(-areas)]


@pytest.mark.parametrize("kind", ["zip", "folder", "in manual_dir"])
def test_prepares_offline(tmp_path, kind):
  files = archive_files()
  write_archive(tmp_path, kind, files)
  train, validation, test = (
    open_source("ilsvrc2012_loc", split, data_dir=tmp_path)
    for split in ("train", "validation", "test")
  )
  for source in (train, validation, test):
    assert source.is_imagenet
    assert source.random_access
    assert source.class_names == imagenet.synsets()
  assert (train.num_examples, train.with_boxes) == (3, False)
  assert dict(zip(validation.ids(), validation.labels(), strict=True)) == {
    "ILSVRC2012_val_00000001.JPEG": 1,
    "ILSVRC2012_val_00000002.JPEG": 999,
  }
  assert test.labels().tolist() == [-1]
  boxed = open_source(
    "ilsvrc2012_loc", "train", data_dir=tmp_path, with_boxes=True
  )
  assert (boxed.num_examples, boxed.without_boxes) == (2, 1)
  rows = {f"{p.split('/')[1]}.JPEG": (p, row) for p, *row in TRAIN}
  assert sorted(boxed.ids()) == sorted(
    name for name, (_, row) in rows.items() if row[-1]
  )
  for record, found in zip(records_of(boxed), boxed.true_boxes(), strict=True):
    path, row = rows[record["id"].decode()]
    assert record["bytes"] == files[f"{DATA}/train/{path}.JPEG"]
    assert boxed.class_names[record["label"]] == path.split("/")[0]
    np.testing.assert_allclose(found, expected_boxes(*row), atol=1e-6)
  boxed = open_source(
    "ilsvrc2012_loc", "validation", data_dir=tmp_path, with_boxes=True
  )
  for name, found in zip(boxed.ids(), boxed.true_boxes(), strict=True):
    height, width, _, boxes = VAL[int(name[-6]) - 1][1:]
    expected = expected_boxes(height, width, boxes)
    np.testing.assert_allclose(found, expected, atol=1e-6)
  with pytest.raises(InputError, match="no image of test has a box"):
    open_source("ilsvrc2012_loc", "test", data_dir=tmp_path, with_boxes=True)


def test_agrees_with_the_unpacked_folder(tmp_path):
  write_archive(tmp_path, "folder", archive_files())
  unpacked = f"folder:{tmp_path}/downloads/manual/{NAME}"
  for split in ("train", "validation"):
    sources = [
      open_source(spec, split, data_dir=tmp_path, with_boxes=True)
      for spec in (unpacked, "ilsvrc2012_loc")
    ]
    by_name = []
    for source in sources:
      assert source.class_names == imagenet.synsets()
      found = zip(
        source.ids(), source.labels(), source.true_boxes(), strict=True
      )
      by_name.append(sorted((id.split("/")[-1], *rest) for id, *rest in found))
    for (*ours, boxes), (*theirs, other) in zip(*by_name, strict=True):
      assert ours == theirs
      np.testing.assert_allclose(boxes, other, atol=1e-6)


def refused(data_dir):
  with pytest.raises(InputError) as error:
    open_source("ilsvrc2012_loc", "train", data_dir=data_dir)
  assert "\n" not in str(error.value)
  return str(error.value)


VAL_CSV, TRAIN_CSV = "LOC_val_solution.csv", "LOC_train_solution.csv"


@pytest.mark.parametrize("kind", ["zip", "folder"])
@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    (TRAIN_CSV, None, "cannot read LOC_train_solution.csv: "),
    (VAL_CSV, b"file,label\n", "LOC_val_solution.csv: the header must be"),
    (
      VAL_CSV,
      f"ImageId,PredictionString\n{VAL[0][0]},{FIRST} 1 2 3".encode(),
      "LOC_val_solution.csv:2: 'n01440764 1 2 3': must be five words",
    ),
    (
      VAL_CSV,
      f"ImageId,PredictionString\n{VAL[0][0]},{FIRST} 1 2 3 4".encode(),
      "00000002.JPEG: LOC_val_solution.csv does not list it",
    ),
    (
      TRAIN_CSV,
      f"ImageId,PredictionString\n{FIRST}_2,{FIRST} 12 2 13 4".encode(),
      f"{FIRST}_2.JPEG: the box with the edges [12.0, 2.0, 14.0, 5.0]",
    ),
    (
      TRAIN_CSV,
      f"ImageId,PredictionString\n{FIRST}_2,n1 1 2 3 4".encode(),
      "'n1' is not a synset of ILSVRC-2012",
    ),
    (
      f"{DATA}/train/n1/n1_1.JPEG",
      b"",
      "n1_1.JPEG: 'n1' is not a synset of ILSVRC-2012",
    ),
    (
      f"{DATA}/train/{TRAIN[0][0]}.JPEG",
      b"nothing",
      f"{FIRST}_10.JPEG: damaged, or not an image file",
    ),
    (f"{DATA}/test/{TEST[0]}.JPEG", None, "has no images in ILSVRC/Data/CLS-L"),
  ],
)
def test_damaged_archives(tmp_path, kind, name, content, message):
  files = archive_files()
  if content is None:
    del files[name]
  else:
    files[name] = content
  write_archive(tmp_path, kind, files)
  assert message in refused(tmp_path)
  assert not list(tmp_path.glob("ilsvrc2012_loc/**/*.array_record*"))


def test_missing_and_broken_archives(tmp_path):
  assert f"Get {NAME}.zip" in refused(tmp_path)
  manual = tmp_path / "downloads/manual"
  manual.mkdir(parents=True)
  (manual / "other.zip").write_bytes(b"")
  assert f"has neither {NAME}.zip nor its folder ILSVRC" in refused(tmp_path)
  (manual / f"{NAME}.zip").write_bytes(b"PK no zip")
  assert f"{NAME}.zip: not a whole zip file" in refused(tmp_path)
  shutil.rmtree(manual)
  files = archive_files()
  write_archive(tmp_path, "zip", files)
  path = manual / f"{NAME}.zip"
  whole = path.read_bytes()
  image = f"{DATA}/train/{TRAIN[1][0]}.JPEG"
  at = whole.index(image.encode()) + len(image) + 20
  path.write_bytes(whole[:at] + bytes(8) + whole[at + 8 :])
  message = refused(tmp_path)
  assert f"{NAME}.zip: cannot read {image}: " in message
