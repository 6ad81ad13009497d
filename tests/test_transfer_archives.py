"""The paper's transfer protocols, from archives of the official layouts."""

import io
import json
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from pictures import encode
from source_records import own_cache as own_cache
from voc_archives import CALTECH, PEOPLE, action_files, write_archive
from voc_devkit import xml

from vggjax import main, voc
from vggjax.data.datasets import caltech256

pytestmark = pytest.mark.usefixtures("quick_compile")


def colored(label, number):
  """A JPEG of a color of its class, with some noise."""
  random = np.random.default_rng([label, number])
  color = np.random.default_rng(label).integers(40, 216, 3)
  noise = random.normal(0, 8, (12, 13, 3))
  return encode(np.clip(color + noise, 0, 255).astype(np.uint8), "JPEG")


@pytest.fixture
def run(saved, tmp_path, capsys):
  """Runs a protocol: status, stdout, stderr, results."""
  workdir = tmp_path / "transfer"
  network = shutil.copytree(saved, tmp_path / "network")

  def call(protocol, *overrides):
    overrides = (
      f"dataset.data_dir={tmp_path}",
      f"transfer.networks={network}",
      "crop_size=32",
      "test_scales=(32,)",
      "num_devices=1",
      "test_batch_size=64",
      "progress=False",
      "pictures=False",
      *overrides,
    )
    status = main.main(
      [
        f"--config=configs/transfer.py:{protocol}",
        *(f"--config.{override}" for override in overrides),
        f"--workdir={workdir}",
      ]
    )
    out = capsys.readouterr()
    path = workdir / "evaluation" / f"{protocol}.json"
    result = json.loads(path.read_text()) if path.exists() else None
    return status, out.out, out.err, result

  call.workdir = workdir
  return call


@pytest.fixture
def offline(monkeypatch):
  """Lets tfds' own builders find what they would download."""

  def at(found):
    monkeypatch.setattr(
      tfds.download.DownloadManager, "download_and_extract", found
    )

  return at


def write_voc(root, *, annotated):
  """A devkit of 160 images; every third has a difficult second object."""
  for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
    (root / folder).mkdir(parents=True)
  number = 0
  for split, count in (("train", 3), ("val", 2), ("test", 3)):
    names = []
    for i in range(20 * count):
      label, number = i % 20, number + 1
      name = f"2008_{number:06}"
      names.append(name)
      objects = [(voc.CLASSES[label], 0)]
      if number % 3 == 0:
        objects.append((voc.CLASSES[(label + 7) % 20], 1))
      path = root / f"JPEGImages/{name}.jpg"
      path.write_bytes(colored(label, number))
      if split in annotated:
        (root / f"Annotations/{name}.xml").write_text(xml(objects))
    lines = "".join(f"{name}\n" for name in names)
    (root / f"ImageSets/Main/{split}.txt").write_text(lines)


def test_voc2007(run, offline, tmp_path):
  root = tmp_path / "VOCdevkit" / "VOC2007"
  write_voc(root, annotated=("train", "val", "test"))
  offline(lambda _, urls: dict.fromkeys(urls, str(tmp_path)))
  status, out, _, result = run("voc2007")
  assert status == 0
  assert "60 images" in out
  assert result["measure"] == "ap11"
  assert tuple(result["by_class"]) == voc.CLASSES
  assert result["values"] == pytest.approx(
    [np.mean(list(result["by_class"].values()))]
  )
  # An image in 20 shows a class: chance is about 5 %.
  assert result["values"][0] > 40
  # The same from the folder, whose order is another.
  status, _, _, other = run("voc2007", f"dataset.source=folder:{root}")
  assert status == 0
  assert other["by_class"] == pytest.approx(result["by_class"], abs=3)


def test_voc2012_and_its_server(run, offline, tmp_path):
  write_voc(tmp_path / "VOCdevkit" / "VOC2012", annotated=("train", "val"))
  offline(lambda _, urls: dict.fromkeys(urls, str(tmp_path)))
  status, out, err, result = run("voc2012")
  assert status == 0, err
  assert "voc2012 on validation of voc/2012: 40 images" in out
  assert result["measure"] == "ap"
  status, _, err, _ = run(
    "voc2012",
    "dataset.validation_split=validation",
    "split=test",
    "pictures=True",
  )
  assert status == 0
  assert "for PASCAL VOC's server" in err
  folder = run.workdir / "results" / "VOC2012" / "Main"
  files = sorted(path.name for path in folder.iterdir())
  assert files == [f"comp2_cls_test_{name}.txt" for name in voc.CLASSES]
  lines = [path.read_text().splitlines() for path in sorted(folder.iterdir())]
  assert {len(some) for some in lines} == {60}
  names = [line.split()[0] for line in lines[0]]
  assert sorted(names) == [f"2008_{i:06}" for i in range(101, 161)]
  scores = np.array(
    [[float(line.split()[1]) for line in some] for some in lines]
  )
  numbers = np.array([int(name[-6:]) - 101 for name in names])
  # Files are of classes: most images score best in their own.
  assert np.mean(scores.argmax(axis=0) == numbers % 20) > 0.4


def test_caltech101(run, offline, tmp_path, monkeypatch):
  names = tfds.builder_cls("caltech101")(data_dir=tmp_path).info
  names = names.features["label"].names
  assert len(names) == 102
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode="w:gz") as archive:
    for label, name in enumerate(names):
      for number in range(31):
        data = colored(label % 9, 1000 * label + number)
        path = f"101_ObjectCategories/{name}/image_{number:04}.jpg"
        member = tarfile.TarInfo(path)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
  path = tmp_path / "caltech-101.zip"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr(
      "caltech-101/101_ObjectCategories.tar.gz", content.getvalue()
    )
  offline(lambda manager, _: manager.extract(path))
  status, out, _, result = run(
    "caltech101",
    "transfer.random_splits=2",
    "transfer.layer=pool5",
    "transfer.train_per_class=3",
    "transfer.test_per_class=2",
  )
  assert status == 0
  assert "204, 204 images" in out
  assert len(result["by_class"]) == 102
  # Nine colors: one of some eleven classes of a color is right by chance.
  assert 1 < np.mean(result["values"]) < 40


def test_caltech256(run, tmp_path, monkeypatch):
  files = {}
  for label, name in enumerate(caltech256.class_names()):
    folder = f"{label + 1:03}.{name}"
    for number in range(1, 5):
      path = f"{CALTECH}/{folder}/{label + 1:03}_{number:04}.jpg"
      files[path] = colored(label % 9, 1000 * label + number)
  write_archive(tmp_path / "downloads/manual", files, f"{CALTECH}.tar")
  status, out, err, _ = run("caltech256")
  assert status == main.BAD_INPUT
  assert "class ak47 has 4 images; transfer.train_per_class 60 needs" in err
  status, out, _, result = run(
    "caltech256",
    "transfer.random_splits=1",
    "transfer.layer=pool5",
    "transfer.train_per_class=3",
  )
  assert status == 0
  assert "caltech256 on train of caltech256: 257 images" in out
  assert set(result["by_class"].values()) <= {0.0, 100.0}


def test_actions(run, tmp_path):
  people = {
    split: {
      f"{year}_{split}{index:03}": (
        24,
        30,
        [
          ("horse", (1, 1, 5, 5), None),
          ("person", (2, 3, 20 + index % 5, 22), [action]),
          ("person", (8, 1, 30, 20), [action, "walking"]),
        ],
      )
      for index in range(2)
      for year, action in enumerate(voc.ACTIONS, start=2011)
    }
    for split in ("train", "val")
  }
  files = action_files(("train", "val"), people)
  archive = "VOCtrainval_11-May-2012.tar"
  write_archive(tmp_path / "downloads/manual", files, archive)
  test = action_files(("test",), PEOPLE)
  write_archive(tmp_path / "downloads/manual", test, "VOC2012test.tar")
  status, out, _, result = run("actions")
  assert status == 0
  assert tuple(result["by_class"]) == voc.ACTIONS
  ten = np.mean([result["by_class"][name] for name in voc.ACTIONS[:10]])
  assert f"without other: {ten:.2f} %" in out
  values = {
    region: run("actions", f"transfer.region={region}")[3]["by_class"]
    for region in ("image", "box", "both")
  }
  assert values["both"] == result["by_class"]
  # Two people of an image have the same image and other boxes.
  assert values["image"] != values["box"]
  status, *_ = run("actions", "split=test")
  assert status == 0
  folder = run.workdir / "results" / "VOC2012" / "Action"
  phoning = folder / "comp10_action_test_phoning.txt"
  names = [line.split()[:2] for line in phoning.read_text().splitlines()]
  assert sorted(names) == [["2010_000012", "1"], ["2011_000007", "2"]]
  jumping = folder / "comp10_action_test_jumping.txt"
  assert jumping.read_text().split()[:2] == ["2011_000007", "2"]
