"""The builder caltech256, from small archives of the official layout."""

import io
import itertools
import tarfile

import pytest
from source_records import own_cache as own_cache
from source_records import records_of
from voc_archives import CALTECH, caltech_files, write_archive

from vggjax.data.datasets.caltech256 import class_names
from vggjax.data.sources import open_source
from vggjax.errors import InputError

TAR = f"{CALTECH}.tar"
COUNTS = {"056.dog": 2, "001.ak47": 3, "198.spider": 1, "257.clutter": 2}
LABELS = {"056.dog": 55, "001.ak47": 0, "198.spider": 197, "257.clutter": 256}


def archive_files():
  """The content of each file, with the official archive's oddities."""
  files = caltech_files(COUNTS)
  image = files[f"{CALTECH}/056.dog/056_0001.jpg"]
  return {
    **files,
    f"{CALTECH}/198.spider/RENAME2": b"mv",
    f"{CALTECH}/056.dog/greg/vision309/056_0003.jpg": image,
    f"{CALTECH}/056.dog/.056_0004.jpg": image,
  }


def write(data_dir, tar, files):
  write_archive(data_dir / "downloads/manual", files, tar)


def test_the_official_names():
  names = class_names()
  assert (len(names), len(set(names))) == (257, 257)
  for number, name in (
    (1, "ak47"),
    (2, "american-flag"),
    (63, "electric-guitar-101"),
    (129, "leopards-101"),
    (182, "self-propelled-lawn-mower"),
    (232, "t-shirt"),
    (251, "airplanes-101"),
    (257, "clutter"),
  ):
    assert names[number - 1] == name
  # They are in alphabetical order but for a few, each class of Caltech-101
  # with its mark; a line left out or moved would break the runs.
  falls = [b for a, b in itertools.pairwise(names) if b < a]
  assert falls == ["light-house", "paper-shredder", "t-shirt", "airplanes-101",
                   "clutter"]  # fmt: skip


@pytest.mark.parametrize(("tar", "prefix"), [(TAR, ""), (TAR, "./"), ("", "")])
def test_prepares_offline(tmp_path, tar, prefix):
  files = archive_files()
  write(tmp_path, tar, {prefix + name: files[name] for name in files})
  source = open_source("caltech256", "train", data_dir=tmp_path)
  assert source.random_access
  assert source.class_names == tuple(class_names())
  found = {record["id"].decode(): record for record in records_of(source)}
  expected = {name.split("/")[-1]: name for name in caltech_files(COUNTS)}
  assert sorted(found) == sorted(expected)
  for name, record in found.items():
    assert record["bytes"] == files[expected[name]]
    assert record["label"] == LABELS[expected[name].split("/")[1]]
  with pytest.raises(InputError, match="has no split 'test'; it has train"):
    open_source("caltech256", "test", data_dir=tmp_path)


def refused(data_dir):
  with pytest.raises(InputError) as error:
    open_source("caltech256", "train", data_dir=data_dir)
  assert "\n" not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize("tar", [TAR, ""])
@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("003.rucksack/003_0001.jpg", "003.rucksack: not a folder of Caltech-256"),
    ("2.american-flag/002_0001.jpg", "2.american-flag: not a folder of Calt"),
    ("258.other/258_0001.jpg", "258.other: not a folder of Caltech-256"),
    ("002.american-flag/003_0001.jpg", "must be named 002_NNNN.jpg"),
  ],
)
def test_other_folders(tmp_path, tar, name, message):
  image = next(iter(caltech_files({"001.ak47": 1}).values()))
  write(tmp_path, tar, {**archive_files(), f"{CALTECH}/{name}": image})
  said = refused(tmp_path)
  assert f"{CALTECH}/{name.split('/')[0]}" in said
  assert message in said
  assert not list(tmp_path.glob("caltech256/**/*.array_record*"))


def test_missing_archives(tmp_path):
  assert f"Get {TAR} from https://" in refused(tmp_path)
  manual = tmp_path / "downloads/manual"
  manual.mkdir(parents=True)
  (manual / "other.tar").write_bytes(b"")
  said = f"has neither {TAR} nor its folder {CALTECH}; get it from https://"
  assert said in refused(tmp_path)
  write(tmp_path, TAR, {f"{CALTECH}/056.dog/greg/056_0001.jpg": b"image"})
  assert f"{TAR}: has no images {CALTECH}/NNN.name/NNN" in refused(tmp_path)


def damaged(whole, damage):
  """The bytes of a damaged tar file."""
  with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
    third, last = tar.getmembers()[2], tar.getmembers()[-1]
  huge = bytearray(whole)
  huge[third.offset + 124 : third.offset + 136] = b"77777777777\0"
  return {
    "empty": b"",
    "no tar": b"PK" + bytes(2000),
    "ends in an image": whole[: last.offset_data + 20],
    "ends in a header": whole[: third.offset + 100],
    "ends after an image": whole[: third.offset],
    "a header damaged": whole[: third.offset]
    + b"\1" * 512
    + whole[third.offset + 512 :],
    "a size of 8 GB": bytes(huge),
  }[damage]


@pytest.mark.parametrize(
  "damage",
  [
    "empty",
    "no tar",
    "ends in an image",
    "ends in a header",
    "ends after an image",
    "a header damaged",
    "a size of 8 GB",
  ],
)
def test_damaged_tar_files(tmp_path, damage):
  write(tmp_path, TAR, archive_files())
  path = tmp_path / "downloads/manual" / TAR
  path.write_bytes(damaged(path.read_bytes(), damage))
  assert f"{TAR}: not a whole tar file: get it again" in refused(tmp_path)
