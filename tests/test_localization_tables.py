"""Tables 8 to 10 and their findings, from boxes of known error."""

import functools
import zlib

import known_posteriors
import numpy as np
import pytest
import tiny_runs
from known_posteriors import PIXELS
from tiny_runs import NUM_TESTED, cells_of, options, read_result, run_module
from tiny_runs import trained as trained

from vggjax import config as configuration
from vggjax.tasks import boxes, networks
from vggjax.tasks import run as task_run

BOXES = "D-256-pcr", "D-384-scr-fc", "D-384-pcr-fc", "D-384-pcr"
RATERS = "D-256-512", "E-256-512"
FAR = np.array([0.6, 0.1, 0.9, 0.9], np.float32)


def random_of(*name):
  """The same numbers for the same name."""
  return np.random.default_rng(zlib.crc32(repr(name).encode()))


def is_right(run, part, q, offsets=1):
  """bool [96, 5]: whether the box of an answer is the true one."""
  share = random_of("share", run, part, q, offsets).uniform(0.4, 0.9)
  random = random_of(run, part, q, offsets)
  return random.uniform(size=(NUM_TESTED, 5)) < share


def rating(run, q):
  """float32 [96, 5]: of a classification network at the one position."""
  return random_of(run, q).uniform(0.1, 1, (NUM_TESTED, 5)).astype(np.float32)


@functools.cache
def posteriors():
  """float32 [96, 8]: of both networks and protocols; 30 images miss top-5."""
  random = np.random.default_rng(11)
  return known_posteriors.make_array(random, 60, 30)


def arrays(_):
  """For `known_posteriors.put`."""
  return {
    (run, part, q): (posteriors(),)
    for run in RATERS
    for part in ("dense", "multicrop")
    for q in (256, 384, 512)
  }


def answered():
  """int [96, 5]: the most probable classes, sorted one by one."""
  ranked = [sorted(range(8), key=lambda k: -row[k]) for row in posteriors()]
  return np.array(ranked)[:, :5]


def true_boxes(photos):
  """float32 [96, 4], fractions, in the order of the paths."""
  lines = (photos / "boxes.csv").read_text().splitlines()[1:]
  rows = sorted(line.split(",") for line in lines if line.startswith("test"))
  edges = np.add([list(map(int, row[1:])) for row in rows], [0, 0, 1, 1])
  return (edges / 36).astype(np.float32)


def put(runs, photos):
  """Stores boxes and ratings of one position an image."""
  labels = tiny_runs.labels()[:, None]
  true = true_boxes(photos)

  def store(run, classes, kind, part, q, offsets, values):
    workdir = runs / "seed-0" / run
    config = configuration.open_config(workdir / "config.json")
    config.pool5_offsets = offsets
    network = networks.load_network(config, workdir)
    # As the localization run evaluates it.
    config.test_mirror = False
    source = task_run.open_split(config, "test", with_boxes=True)
    assert source.num_examples == NUM_TESTED
    where = boxes.place_of(
      config, network, source, classes, kind, part, PIXELS[q]
    )
    boxes.save(where[0], [value[None] for value in values], where[1])

  def located(right):
    return np.where(right[..., None], true[:, None], FAR)

  tests = {("D-256-pcr", 256), ("D-384-pcr", 384), ("D-384-pcr", 352)}
  for run in BOXES:
    q = int(run.split("-")[1])
    values = located(is_right(run, "center", q)[:, :1])
    store(run, labels, "boxes", "center", q, 1, values)
  for offsets in (1, 2):
    for run, q in tests:
      values = located(is_right(run, "dense", q, offsets))
      store(run, answered(), "boxes", "dense", q, offsets, values)
    for run in RATERS:
      for q in (256, 352, 384):
        store(run, answered(), "ratings", "dense", q, offsets, rating(run, q))


@pytest.fixture(scope="module")
def known(trained, tmp_path_factory):
  runs = tiny_runs.copy_runs(trained, tmp_path_factory.mktemp("known"))
  known_posteriors.put(runs, make=arrays)
  put(runs, trained / "photos")
  return runs


@pytest.fixture(scope="module")
def results(known, tmp_path_factory):
  return tiny_runs.results_of(known, tmp_path_factory)


def center_wrong(run, q):
  return 100.0 * ~is_right(run, "center", q)[:, 0]


def dense_wrong(*tests, offsets=1):
  """Image by image: where equal boxes are added up, the larger sum wins."""
  classes, labels = answered(), tiny_runs.labels()
  wrong = []
  for i, label in enumerate(labels):
    slots = [k for k, c in enumerate(classes[i]) if c == label]
    if not slots:
      wrong.append(100.0)
      continue
    votes = {True: 0.0, False: 0.0}
    for run, q in tests:
      rate = np.mean([rating(rater, q)[i, slots[0]] for rater in RATERS])
      votes[bool(is_right(run, "dense", q, offsets)[i, slots[0]])] += rate
    wrong.append(100.0 * (votes[False] > votes[True]))
  return np.array(wrong)


AT_256, AT_384 = ("D-256-pcr", 256), ("D-384-pcr", 384)
AT_TWO = ("D-384-pcr", 352), AT_384
TABLE_9 = (
  (("256", "256"), "29.5", "", (AT_256,)),
  (("384", "384"), "28.2", "26.7", (AT_384,)),
  (("384", "352, 384"), "27.5", "", AT_TWO),
  (("fusion", "256; 352, 384"), "26.9", "25.3", (AT_256, *AT_TWO)),
)


def test_table_8(results, trained):
  _, markdown = results("table8")
  rows = cells_of(markdown)
  wanted = (
    (("FC", "SCR", "384"), "36.4", "D-384-scr-fc"),
    (("FC", "PCR", "384"), "34.3", "D-384-pcr-fc"),
    (("all", "PCR", "384"), "33.1", "D-384-pcr"),
    (("all", "PCR", "256"), "", "D-256-pcr"),
  )
  errors = set()
  for cells, (labels, paper, run) in zip(rows, wanted, strict=False):
    error = center_wrong(run, int(run.split("-")[1])).mean()
    assert tuple(cells[:4]) == (*labels, paper)
    assert cells[4].startswith(f"{error:.2f} [")
    errors.add(cells[4])
  assert len(errors) == 4
  # The mean box of the 16 training images, in the center.
  lines = (trained / "photos/boxes.csv").read_text().splitlines()
  train = np.array(
    [list(map(int, x.split(",")[1:])) for x in lines if x.startswith("train")]
  )
  width, height = ((train[:, i + 2] - train[:, i] + 1).mean() for i in (0, 1))
  wrong = 0
  for left, top, right, bottom in true_boxes(trained / "photos") * 36:
    x = min(right, 18 + width / 2) - max(left, 18 - width / 2)
    y = min(bottom, 18 + height / 2) - max(top, 18 - height / 2)
    common = max(x, 0) * max(y, 0)
    area = (right - left) * (bottom - top) + width * height - common
    wrong += common / area <= 0.5
  assert rows[4][0] == "none: the mean box, centered"
  assert rows[4][4].startswith(f"{100 * wrong / NUM_TESTED:.2f} [")


def test_table_9(results):
  result, markdown = results("table9")
  rows = cells_of(markdown)
  errors = set()
  for cells, (labels, paper, server, tests) in zip(rows, TABLE_9, strict=True):
    assert tuple(cells[:2]) == labels
    error = dense_wrong(*tests).mean()
    assert cells[2] == paper
    assert cells[3].startswith(f"{error:.2f} [")
    assert cells[4:6] == [server, ""]
    assert cells[6] == ""
    assert cells[7].startswith(f"{100 * 30 / NUM_TESTED:.2f} [")
    errors.add(cells[3])
  assert len(errors) == 4
  assert result["rows"][3]["runs"] == [
    "D-256-pcr",
    "D-384-pcr",
    "D-256-512",
    "E-256-512",
  ]


def test_table_10(results):
  rows = cells_of(results("table10")[1])
  best = dense_wrong(*TABLE_9[3][3]).mean()
  assert rows[0][:2] == ["VGG", "26.9"]
  assert rows[0][2].startswith(f"{best:.2f} [")
  assert [row[0:2] + row[3:4] for row in rows[1:]] == [
    ["GoogLeNet", "", "26.7"],
    ["OverFeat", "30.0", "29.9"],
    ["Krizhevsky et al.", "", "34.2"],
  ]
  assert not any(row[2] or row[4] for row in rows[1:])


def test_the_findings_are_differences_by_hand(results):
  result, _ = results("localization_findings")
  best = TABLE_9[3][3]
  pairs = (
    (center_wrong("D-384-scr-fc", 384), center_wrong("D-384-pcr-fc", 384)),
    (center_wrong("D-384-pcr-fc", 384), center_wrong("D-384-pcr", 384)),
    (center_wrong("D-384-pcr", 384), dense_wrong(AT_384)),
    (dense_wrong(AT_256), dense_wrong(AT_384)),
    (dense_wrong(AT_384), dense_wrong(*AT_TWO)),
    (dense_wrong(*AT_TWO), dense_wrong(*best)),
    (dense_wrong(*best), dense_wrong(*best, offsets=2)),
  )
  papers = (2.1, 1.2, 4.9, 1.3, 0.7, 0.6, None)
  for row, (worse, better), paper in zip(
    result["rows"], pairs, papers, strict=False
  ):
    [cell] = row["ours"]
    assert cell["value"] == pytest.approx((worse - better).mean())
    low, high = cell["interval"]
    assert low < cell["value"] < high
    assert row["paper"] == [paper]
  assert len(result["rows"]) == 9


def test_the_threshold_is_tried(known, tmp_path, capsys):
  with pytest.MonkeyPatch.context() as patch:
    tiny_runs.read_once(patch)
    arguments = options(known, tmp_path, "--no_compute")
    assert run_module("merge_threshold", *arguments) == 0
  lines = capsys.readouterr().out.splitlines()
  by_row = {" ".join(t[0]): dense_wrong(*t[3]).mean() for t in TABLE_9}
  for line in lines[1:5]:
    name, errors = line.rsplit(None, 10)[0], line.split()[-10:]
    # No two boxes here overlap: until all are merged nothing changes.
    assert set(errors) == {f"{by_row[name]:.2f}"}


def test_what_is_missing_is_named(known, tmp_path, capsys):
  """A run without boxes: its rows are empty, the others are measured."""
  folder = known / "seed-0/D-384-pcr/boxes"
  away = folder.rename(tmp_path / "boxes")
  try:
    with pytest.MonkeyPatch.context() as patch:
      tiny_runs.read_once(patch)
      arguments = options(known, tmp_path / "results", "--no_compute")
      assert run_module("table8", *arguments) == 0
  finally:
    away.rename(folder)
  rows = cells_of(read_result(tmp_path / "results", "table8")[1])
  assert [bool(row[4]) for row in rows] == [True, True, False, True, True]
  err = capsys.readouterr().err
  assert "missing boxes of D-384-pcr" in err
  assert "without --no_compute" in err


def test_given_weights_are_refused(known, tmp_path, capsys):
  arguments = options(known, tmp_path, f"--weights=D={known}/seed-0/D-256")
  assert run_module("table8", *arguments) == 2
  assert "localization networks are runs" in capsys.readouterr().err
