"""vggjax.data.sources: folder layouts, bad input, unreadable images."""

import csv
import itertools

import numpy as np
import pytest
from pictures import encode, picture
from source_records import own_cache as own_cache
from source_records import records_of

from vggjax.data.sources import open_source
from vggjax.errors import InputError


def write_images(root, paths, kind="PNG"):
  """A different small picture at each path."""
  for seed, path in enumerate(paths):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture(6, 8, seed), kind))


def write_csv(path, *rows):
  with path.open("w", newline="") as file:
    csv.writer(file).writerows(row.split(",") for row in rows)


def check_records(source, root):
  """The records are the files, and agree with ids and labels."""
  records = records_of(source)
  assert len(records) == source.num_examples
  assert [r["id"].decode() for r in records] == source.ids()
  assert [r["index"] for r in records] == list(range(len(records)))
  np.testing.assert_array_equal([r["label"] for r in records], source.labels())
  assert source.labels().dtype == np.int32
  for record in records:
    assert record["bytes"] == (root / record["id"].decode()).read_bytes()
  return {r["id"].decode(): int(r["label"]) for r in records}


SPLIT_TREE = [
  "train/cat/a.png",
  "train/cat/deep/b.png",
  "train/dog/c.JPEG",
  "val/cat/d.png",
  "val/dog/e.png",
  "test/cat/f.png",
  "test/dog/g.png",
]


def test_folder_of_splits(tmp_path):
  write_images(tmp_path, SPLIT_TREE)
  (tmp_path / "train/cat/.hidden.png").write_bytes(b"")
  (tmp_path / "train/cat/notes.txt").write_text("not an image")
  (tmp_path / "train/.cache").mkdir()
  spec = f"folder:{tmp_path}"
  train = open_source(spec, "train")
  assert (train.spec, train.split) == (spec, "train")
  assert train.class_names == ("cat", "dog")
  assert train.random_access
  assert not train.is_imagenet
  assert train.skipped == ()
  assert check_records(train, tmp_path) == {
    "train/cat/a.png": 0,
    "train/cat/deep/b.png": 0,
    "train/dog/c.JPEG": 1,
  }
  validation = open_source(spec, "validation")
  assert validation.ids() == ["val/cat/d.png", "val/dog/e.png"]
  assert validation.ids([1]) == ["val/dog/e.png"]
  assert validation.fingerprint != train.fingerprint
  with pytest.raises(AttributeError):
    train.split = "test"


def test_fingerprint_follows_ids_and_sizes(tmp_path):
  write_images(tmp_path, SPLIT_TREE)
  spec = f"folder:{tmp_path}"
  first = open_source(spec, "train").fingerprint
  assert open_source(spec, "train").fingerprint == first
  assert len(first) == 64
  with (tmp_path / SPLIT_TREE[0]).open("ab") as file:
    file.write(b"x")
  assert open_source(spec, "train").fingerprint != first


def test_folder_with_an_unlabeled_test_split(tmp_path):
  write_images(tmp_path, [*SPLIT_TREE[:5], "test/x.png", "test/y.png"])
  test = open_source(f"folder:{tmp_path}", "test")
  assert test.class_names == ("cat", "dog")
  assert check_records(test, tmp_path) == {"test/x.png": -1, "test/y.png": -1}


def test_numbered_classes_sort_as_numbers(tmp_path):
  write_images(tmp_path, [f"train/{n}/a.png" for n in (10, 2, 1)])
  assert open_source(f"folder:{tmp_path}", "train").class_names == (
    "1",
    "2",
    "10",
  )


def test_folder_of_classes_is_split_by_hash(tmp_path):
  paths = [f"{name}/{i}.png" for name in "ab" for i in range(100)]
  for path in paths:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(b"")
  spec = f"folder:{tmp_path}"
  splits = {
    s: open_source(spec, s).ids() for s in ("train", "validation", "test")
  }
  assert sorted(itertools.chain(*splits.values())) == sorted(paths)
  assert 140 <= len(splits["train"]) <= 180
  assert 8 <= len(splits["validation"]) <= 35
  assert open_source(spec, "train").ids() == splits["train"]
  assert open_source(spec, "train", seed=1).ids() != splits["train"]
  # Another image changes nothing for those that are there.
  (tmp_path / "a/new.png").write_bytes(b"")
  again = open_source(spec, "train").ids()
  assert [i for i in again if i != "a/new.png"] == splits["train"]


def test_table_with_splits(tmp_path):
  write_images(tmp_path, ["x.png", "images/y.jpg", "sub/z.png"])
  write_csv(
    tmp_path / "labels.csv",
    "file,label,split",
    "x.png,dog,train",
    "y,cat,train",
    "sub/z,hot dog,val",
  )
  train = open_source(f"folder:{tmp_path}", "train")
  assert train.class_names == ("cat", "dog", "hot dog")
  assert check_records(train, tmp_path) == {"images/y.jpg": 0, "x.png": 1}
  validation = open_source(f"folder:{tmp_path}", "validation")
  assert check_records(validation, tmp_path) == {"sub/z.png": 2}
  with pytest.raises(InputError, match="no split 'test'; it has train, valid"):
    open_source(f"folder:{tmp_path}", "test")


def test_table_of_kaggle_with_a_class_list(tmp_path):
  write_images(tmp_path, ["images/b.JPEG", "images/a.JPEG"])
  write_csv(
    tmp_path / "LOC_val_solution.csv",
    "ImageId,PredictionString",
    "b,n03 1 2 3 4 n03 5 6 7 8",
    "a,n01 1 2 3 4",
  )
  (tmp_path / "synsets.txt").write_text("n03\nn02\nn01\n")
  for split in ("validation", "test"):
    source = open_source(f"folder:{tmp_path}", split)
    assert source.class_names == ("n03", "n02", "n01")
    assert not source.is_imagenet
    labels = check_records(source, tmp_path)
    assert labels == {"images/a.JPEG": 2, "images/b.JPEG": 0}
  with pytest.raises(InputError, match="no column `split`"):
    open_source(f"folder:{tmp_path}", "train")


def test_table_and_class_list_by_name(tmp_path):
  write_images(tmp_path, ["train/a.png"])
  write_csv(tmp_path / "mine.csv", "file,label", "train/a.png,no")
  (tmp_path / "names.txt").write_text("yes\nno\n")
  source = open_source(
    f"folder:{tmp_path}", "test", labels_csv="mine.csv", class_list="names.txt"
  )
  assert source.labels().tolist() == [1]


CLS_LOC = "ILSVRC/Data/CLS-LOC"


def test_imagenet_tree_of_kaggle(tmp_path):
  write_images(
    tmp_path / CLS_LOC,
    [
      "train/n02/n02_1.JPEG",
      "train/n01/n01_7.JPEG",
      "val/ILSVRC2012_val_00000001.JPEG",
      "val/ILSVRC2012_val_00000002.JPEG",
      "test/ILSVRC2012_test_00000001.JPEG",
    ],
    "JPEG",
  )
  (tmp_path / "LOC_synset_mapping.txt").write_text(
    "n02 dog, hound\nn01 tench, Tinca tinca\nn03 ant\n"
  )
  write_csv(
    tmp_path / "LOC_val_solution.csv",
    "ImageId,PredictionString",
    "ILSVRC2012_val_00000002,n02 1 2 3 4",
    "ILSVRC2012_val_00000001,n03 1 2 3 4",
  )
  labels = {"train": [0, 1], "validation": [2, 1], "test": [-1]}
  for split, expected in labels.items():
    source = open_source(f"folder:{tmp_path}", split)
    assert source.is_imagenet
    assert source.class_names == ("n01", "n02", "n03")
    check_records(source, tmp_path)
    assert source.labels().tolist() == expected
  write_images(tmp_path / CLS_LOC, ["val/stray.JPEG"])
  with pytest.raises(InputError, match=r"does not list .*/val/stray\.JPEG"):
    open_source(f"folder:{tmp_path}", "validation")


def refused(root, split="train", **options):
  """The one line that open_source refuses with."""
  with pytest.raises(InputError) as error:
    open_source(f"folder:{root}", split, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_bad_folders(tmp_path):
  assert "no such folder" in refused(tmp_path / "absent")
  assert "no class folders" in refused(tmp_path)
  write_images(tmp_path, SPLIT_TREE[:3])
  message = refused(tmp_path, "validation")
  assert "no split 'validation'; it has train" in message
  write_images(tmp_path, ["test/cat/x.png", "test/cow/x.png"])
  assert "class 'dog' has a folder in train but not in test" in refused(
    tmp_path
  )
  (tmp_path / "test/dog").mkdir()
  message = refused(tmp_path)
  assert "class 'cow' has a folder in test but not in train" in message
  (tmp_path / "train/cow").mkdir()
  (tmp_path / "val/cow").mkdir(parents=True)
  (tmp_path / "val/cat").mkdir()
  (tmp_path / "val/dog").mkdir()
  assert "'validation' holds no image" in refused(tmp_path, "validation")
  (tmp_path / "names").write_text("cat\ncow\n")
  message = refused(tmp_path, class_list="names")
  assert "label 'dog' is not in the class list" in message
  (tmp_path / "names").write_text("cat\ncow\ncat\n")
  assert "'cat' twice" in refused(tmp_path, class_list="names")
  assert "no such class list" in refused(tmp_path, class_list="absent")
  assert "no such file of labels" in refused(tmp_path, labels_csv="absent")
  (tmp_path / "validation").mkdir()
  assert "both" in refused(tmp_path)
  assert "must be raise or skip" in refused(tmp_path, on_error="ignore")
  hashed = tmp_path / "hashed"
  write_images(hashed, ["cat/a.png"])
  assert "has no split 'dev'" in refused(hashed, "dev")


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    (["name,label", "a.png,cat"], "the header must be file,label"),
    (["file,label", "b.png,cat"], "no image of the name 'b.png'"),
    (["file,label", "a.png,"], "labels.csv:2: no file or no label"),
    (["file,label,split", "a.png,cat,"], "labels.csv:2: no split"),
    (["file,label", "a.png,cat", "a,dog"], "lists a.png twice"),
    (["file,label", "c,cat"], "several images of the name 'c'"),
    (["file,label"], "holds no image"),
  ],
)
def test_bad_tables(tmp_path, rows, message):
  write_images(tmp_path, ["a.png", "c.png", "c.jpg"])
  write_csv(tmp_path / "labels.csv", *rows)
  assert message in refused(tmp_path, "test")


def test_images_that_the_table_leaves_out_are_told(tmp_path, caplog):
  write_images(tmp_path, ["a.png", "b.png"])
  write_csv(tmp_path / "labels.csv", "file,label", "a,cat")
  assert open_source(f"folder:{tmp_path}", "test").num_examples == 1
  assert "1 images are not in it" in caplog.text


def test_skip_leaves_out_unreadable_images(tmp_path):
  root = tmp_path / "data"
  write_images(root, SPLIT_TREE)
  whole = open_source(f"folder:{root}", "train", on_error="skip")
  assert (whole.num_examples, whole.skipped) == (3, ())
  (root / "train/cat/deep/b.png").write_bytes(b"\x89PNG broken")
  source = open_source(f"folder:{root}", "train", on_error="skip")
  assert source.skipped == ("train/cat/deep/b.png",)
  assert source.num_examples == 2
  assert check_records(source, root) == {
    "train/cat/a.png": 0,
    "train/dog/c.JPEG": 1,
  }
  assert source.fingerprint != whole.fingerprint
  kept = list((tmp_path / "cache/unreadable").iterdir())
  assert len(kept) == 2  # One for each state of the folder.
  again = open_source(f"folder:{root}", "train", on_error="skip")
  assert again.skipped == source.skipped
  assert again.fingerprint == source.fingerprint


def test_skip_of_everything_is_an_error(tmp_path):
  (tmp_path / "train/cat").mkdir(parents=True)
  (tmp_path / "train/cat/a.png").write_bytes(b"no")
  assert "holds no image" in refused(tmp_path, on_error="skip")


def test_real_folders_open_plainly(clothing, imagenet_images):
  source = open_source(f"folder:{clothing}", "train")
  assert source.num_examples == 3068
  assert len(source.class_names) == 10
  counts = np.bincount(source.labels())
  assert (counts.min(), counts.max()) == (112, 795)
  source = open_source(f"folder:{imagenet_images}", "validation")
  assert (source.num_examples, len(source.class_names)) == (128, 1000)
  first = imagenet_images / "LOC_val_solution.csv"
  synset = first.read_text().splitlines()[1].split(",")[1].split()[0]
  assert source.class_names[source.labels()[0]] == synset
  assert source.ids([0]) == ["images/ILSVRC2012_val_00000001.JPEG"]
