"""Files for the ILSVRC-2012 test server, line by line."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from vggjax import imagenet
from vggjax.config import parse_arguments
from vggjax.errors import InputError
from vggjax.evaluate import store, submission
from vggjax.tasks import evaluate

# ILSVRC2012_ID 1, 2, ... of the development kit.
SYNSETS = list(imagenet.ilsvrc_ids())
# ILSVRC2012_validation_ground_truth.txt of the kit.
GROUND_TRUTH = (
  490, 361, 171, 822, 297, 482, 13, 704, 599, 164,
  649, 11, 73, 286, 554, 6, 648, 399, 749, 545,
)  # fmt: skip
# Class of label 0, 1, ...: neither sorted nor in the order of the kit.
CLASSES = [SYNSETS[i] for i in np.random.default_rng(8).permutation(1000)]


def write(path, guesses, ids, classes=CLASSES):
  """Writes a file; `guesses` are the kit's IDs, the best first."""
  posteriors = np.full((len(guesses), len(classes)), 1e-4, np.float32)
  for row, best in zip(posteriors, guesses, strict=True):
    for place, number in enumerate(best):
      row[classes.index(SYNSETS[number - 1])] = 0.5 / (place + 1)
  submission.write_submission(path, posteriors, ids, classes)
  return path.read_text().split("\n")


def test_the_synsets_are_the_kits():
  assert len(set(SYNSETS)) == len(SYNSETS) == 1000
  known = {
    1: "n02119789",  # Kit fox.
    2: "n02100735",  # English setter.
    490: "n01751748",  # Sea snake.
    361: "n09193705",  # Alp.
    1000: "n03255030",  # Dumbbell.
  }
  assert {number: SYNSETS[number - 1] for number in known} == known
  # The sorted order, that of most libraries' labels, is another.
  assert sum(a == b for a, b in zip(SYNSETS, sorted(SYNSETS), strict=True)) < 20


def test_the_ids_of_real_validation_images(imagenet_images, tmp_path):
  """The kit's ground truth from the labels of the images themselves."""
  classes = (imagenet_images / "synsets.txt").read_text().split()
  table = (imagenet_images / "LOC_val_solution.csv").read_text().splitlines()
  label = {row.split(",")[0]: row.split(",")[1].split()[0] for row in table[1:]}
  names = [f"ILSVRC2012_val_{i:08}" for i in range(1, 21)]
  posteriors = np.zeros((20, 1000))
  for row, name in zip(posteriors, names, strict=True):
    row[classes.index(label[name])] = 1
  path = tmp_path / "submission.txt"
  ids = [f"images/{name}.JPEG" for name in names]
  submission.write_submission(path, posteriors, ids, classes)
  first = [int(line.split()[0]) for line in path.read_text().splitlines()]
  assert tuple(first) == GROUND_TRUTH


def test_a_file_by_hand(tmp_path):
  """In the order of the file names, whatever the folders and the order."""
  ids = ["b/ILSVRC2012_test_3.JPEG", "z/ILSVRC2012_test_1.JPEG", "a/t_4.png"]
  ids += ["ILSVRC2012_test_2.JPEG"]
  guesses = [
    (5, 4, 3, 2, 1),
    (1000, 1, 500, 999, 2),
    (7, 77, 777, 17, 717),
    (490, 361, 171, 822, 297, 482),  # The sixth is not asked for.
  ]
  lines = write(tmp_path / "new" / "folder" / "file.txt", guesses, ids)
  assert lines == [
    "1000 1 500 999 2",
    "490 361 171 822 297",
    "5 4 3 2 1",
    "7 77 777 17 717",
    "",
  ]


def test_equal_posteriors_are_in_the_order_of_the_labels(tmp_path):
  [line, _] = write(tmp_path / "file.txt", [(900,)], ["x.JPEG"])
  rest = [name for name in CLASSES if name != SYNSETS[899]][:4]
  wanted = [900, *(SYNSETS.index(name) + 1 for name in rest)]
  assert line == " ".join(map(str, wanted))


def test_names_may_stand_behind_the_synsets(tmp_path):
  classes = [f"{name} tench, Tinca tinca" for name in CLASSES]
  assert imagenet.are_imagenet(classes)
  posteriors = np.eye(1000)[[CLASSES.index("n02119789")]]
  path = tmp_path / "file.txt"
  submission.write_submission(path, posteriors, ["x.JPEG"], classes)
  assert path.read_text().startswith("1 ")


@pytest.mark.parametrize(
  "classes",
  [
    CLASSES[:-1],
    [*CLASSES[:-1], CLASSES[0]],
    [*CLASSES[:-1], "n00000000"],
    [*CLASSES, "n00000000"],
    [*CLASSES[:-1], ""],
    ["cat", "dog"],
    [],
  ],
)
def test_other_classes_are_refused(tmp_path, classes):
  assert not imagenet.are_imagenet(classes)
  with pytest.raises(InputError, match="ImageNet's 1000 synsets") as error:
    submission.write_submission(
      tmp_path / "x", np.zeros((1, len(classes))), ["x.JPEG"], classes
    )
  assert f"here are {len(classes)}" in str(error.value)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("other", ["b/1.JPEG", "a/1.png"])
def test_equal_file_names_are_refused(tmp_path, other):
  with pytest.raises(InputError, match="the same file name"):
    write(tmp_path / "x", [(1,), (2,)], ["a/1.JPEG", other])
  assert not (tmp_path / "x").exists()


def test_a_killed_write_leaves_the_older(tmp_path, monkeypatch):
  path = tmp_path / "file.txt"
  older = write(path, [(3,)], ["x.JPEG"])

  def killed(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
      write(path, [(4,)], ["x.JPEG"])
  assert path.read_text().split("\n") == older
  assert write(path, [(4,)], ["x.JPEG"]) != older
  assert len(list(tmp_path.glob("*.txt"))) == 1


def leave(tmp_path, classes, capsys):
  """What a split without labels leaves, and what is said of it."""
  config, _ = parse_arguments(
    [
      "--config=configs/evaluation.py:A-256",
      "--config.split=test",
      "--config.protocol=both",
      f"--workdir={tmp_path}",
    ]
  )
  random = np.random.default_rng(4)
  items = [
    store.Posteriors(
      random.dirichlet(np.ones(len(classes)), 3).astype(np.float32),
      np.full(3, -1, np.int32),
      np.array(["c.JPEG", "a.JPEG", "b.JPEG"]),
      {},
    )
    for _ in range(2)
  ]
  source = SimpleNamespace(class_names=tuple(classes))
  evaluate.leave_to_server(config, tmp_path, source, (256, 288), items)
  return np.mean([i.posteriors for i in items], axis=0), capsys.readouterr().err


def test_an_imagenet_split_without_labels_leaves_a_file(tmp_path, capsys):
  mean, err = leave(tmp_path, CLASSES, capsys)
  path = tmp_path / "evaluation" / "test-both-256-288-submission.txt"
  assert f"for the ILSVRC test server: {path}" in err
  assert f"posteriors are in {tmp_path}/posteriors/test" in err
  lines = path.read_text().splitlines()
  assert len(lines) == 3
  # a, b and c are images 1, 2 and 0.
  for line, image in zip(lines, (1, 2, 0), strict=True):
    best = [
      CLASSES[i] for i in sorted(range(1000), key=lambda i: -mean[image, i])
    ]
    assert [SYNSETS[int(n) - 1] for n in line.split()] == best[:5]


def test_another_split_without_labels_leaves_the_posteriors(tmp_path, capsys):
  _, err = leave(tmp_path, ["cat", "dog"], capsys)
  assert f"posteriors are in {tmp_path}/posteriors/test" in err
  assert "server" not in err
  assert not (tmp_path / "evaluation").exists()


def test_a_line_of_boxes(tmp_path):
  """Five times the kit's class and inclusive pixels from 0 on."""
  classes = np.array([[CLASSES.index(SYNSETS[n - 1]) for n in (7, 1, 2, 3, 4)]])
  boxes = np.tile([10.0, 20.0, 110.0, 221.0], (1, 5, 1))
  boxes[0, 1] = 0.4, 0.6, 3.4, 9.6  # Rounded to whole pixels.
  boxes[0, 2] = 5.1, 5.1, 5.2, 5.2  # Keeps a pixel.
  path = tmp_path / "submission.txt"
  two = np.repeat(classes, 2, axis=0), np.repeat(boxes, 2, axis=0)
  two[1][0, 0] = 0, 0, 1, 1
  ids = ["test/b.JPEG", "test/a.JPEG"]
  submission.write_box_submission(path, *two, ids, CLASSES)
  first, second = path.read_text().splitlines()
  rest = "1 0 1 2 9 2 5 5 5 5 3 10 20 109 220 4 10 20 109 220"
  assert first == f"7 10 20 109 220 {rest}"
  assert second == f"7 0 0 0 0 {rest}"


def test_boxes_of_other_classes_are_refused(tmp_path):
  with pytest.raises(InputError, match="needs ImageNet's 1000 synsets"):
    submission.write_box_submission(
      tmp_path / "x", np.zeros((1, 2), int), np.zeros((1, 2, 4)), ["a"], ["b"]
    )
