"""Tables 11 and 12 and their findings, from outcomes of known error."""

import json
import shutil
import zlib

import numpy as np
import pytest
from tiny_runs import NUM_TESTED, cells_of, copy_runs, labels, run_module
from tiny_runs import trained as trained

from experiments import table11, table12, transfer_findings
from vggjax.tasks import outcomes, transfer
from vggjax.tasks.outcomes import Outcome

RUNS = "D-256-512", "E-256-512"
AGGREGATES = "average", "max", "stack"


def right(*name):
  """bool [96]: which test images a descriptor gets right."""
  random = np.random.default_rng(zlib.crc32(repr(name).encode()))
  return random.uniform(size=NUM_TESTED) < random.uniform(0.3, 0.9)


def recall(*name):
  """All classes have as many images."""
  return 100 * right(*name).mean()


def outcome(*name):
  answers = np.where(right(*name), labels(), (labels() + 3) % 8)
  return [Outcome(1.0, np.eye(8, dtype=np.float32)[answers], labels())]


def name_of(networks, config):
  runs = [
    f"{network.workdir.name.replace('untrained-0', 'untrained')}"
    for network in networks
  ]
  return *runs, config.transfer.aggregate, config.transfer.region


@pytest.fixture
def known(monkeypatch):
  """Outcomes are known ones, whatever the networks are."""

  def get_outcomes(config, networks, data, folder, *, compute):
    assert compute
    return outcome(*name_of(networks, config))

  monkeypatch.setattr(transfer, "get_outcomes", get_outcomes)
  monkeypatch.setattr(transfer, "draw_map", lambda *_, title: None)
  monkeypatch.setattr(outcomes, "stored_outcomes", lambda *_: outcome("pixels"))


@pytest.fixture
def table(trained, tmp_path, capsys):
  """Runs an experiment: status, lines of stderr, JSON, cells."""
  runs = copy_runs(trained, tmp_path, RUNS)
  results = tmp_path / "results"

  def call(name, *more, folder=runs):
    status = run_module(
      name,
      "--profile=mini",
      f"--runs={folder}",
      f"--results={results}",
      f"--source=folder:{trained / 'photos'}",
      "--config.dataset.validation_split=",
      "--config.crop_size=32",
      "--config.test_scales=(32,)",
      "--config.num_devices=1",
      "--config.progress=False",
      *more,
    )
    err = capsys.readouterr().err.splitlines()
    path = results / "mini" / "photos" / f"{name}.json"
    if status:
      return status, err, None, None
    cells = cells_of(path.with_suffix(".md").read_text())
    return status, err, json.loads(path.read_text()), cells

  call.runs, call.results = runs, results
  return call


def check_cell(text, *name):
  """A recall and its interval, of a width that the binomial law tells."""
  value, low, high = (
    float(word) for word in text.replace(",", "").replace("[", "")[:-1].split()
  )
  wanted = recall(*name)
  assert value == pytest.approx(wanted, abs=0.0051)
  spread = np.sqrt(wanted * (100 - wanted) / NUM_TESTED)
  assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)
  assert low < wanted < high


def test_table_11(table, known):
  status, err, result, cells = table("table11")
  assert (status, err) == (0, [])
  assert [row[:2] for row in cells] == [
    ["pixels", ""],
    ["D, untrained", "stack"],
    *([n, a] for n in ("D", "E", "D & E") for a in AGGREGATES),
  ]
  runs = {"D": RUNS[:1], "E": RUNS[1:], "D & E": RUNS}
  check_cell(cells[0][3], "pixels")
  check_cell(cells[1][3], "untrained", "stack", "image")
  for row in cells[2:]:
    check_cell(row[3], *runs[row[0]], row[1], "image")
  about = result["protocols"]["classes"]
  assert (about["num_images"], about["num_trained"]) == (96, 16)
  assert result["measures"] == ["classes, mean class recall"]
  assert "split test" in result["caption"]
  assert "/" not in result["command"].replace("…/", "")


def test_table_12(table, known):
  status, _, _, cells = table("table12", "--config.transfer.aggregate=max")
  assert status == 0
  for row, region in zip(cells, ("image", "both", "box"), strict=True):
    check_cell(row[2], *RUNS, "max", region)


def test_findings(table, known):
  status, err, result, cells = table("transfer_findings")
  assert (status, err) == (0, [])
  d, e, both = (
    (*runs, "stack", "image") for runs in (RUNS[:1], RUNS[1:], RUNS)
  )
  pairs = {
    "D & E stacked above D": (both, d),
    "D & E stacked above E": (both, e),
    "E above D": (e, d),
    "scales stacked above averaged (on VOC the paper saw no difference)": (
      d,
      (RUNS[0], "average", "image"),
    ),
    "scales stacked above their maximum": (d, (RUNS[0], "max", "image")),
    "D trained above D untrained": (d, ("untrained", "stack", "image")),
    "D trained above pixels": (d, ("pixels",)),
  }
  assert [row[0] for row in cells] == list(pairs)
  verdicts = set()
  for row, shown in zip(result["rows"], cells, strict=True):
    better, worse = pairs[shown[0]]
    [cell] = row["ours"]
    differences = 100.0 * right(*better) - 100.0 * right(*worse)
    assert cell["value"] == pytest.approx(differences.mean())
    low, high = cell["interval"]
    spread = differences.std() / np.sqrt(NUM_TESTED)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    expected = "holds" if low > 0 else "does not hold"
    assert cell["verdict"] == (expected if low * high > 0 else "undecided")
    assert shown[3].startswith(f"{differences.mean():+.2f} [")
    verdicts.add(cell["verdict"])
  assert len(verdicts) > 1


def test_a_table_of_several_seeds(trained, table, known, tmp_path):
  folder = copy_runs(trained, tmp_path / "more", RUNS, seeds=(0, 1))
  shutil.rmtree(folder / "seed-1" / RUNS[1])
  status, err, result, cells = table("table11", folder=folder)
  assert status == 0
  assert len(err) == 1
  shown = {tuple(row[:2]): row[3] for row in cells}
  assert "1 of 2 seeds" in shown["E", "max"]
  assert "1 of 2 seeds" in shown["D & E", "max"]
  for row in (("pixels", ""), ("D", "max")):
    assert "±" in shown[row]
    assert "of 2 seeds" not in shown[row]
  assert result["seeds"] == [0, 1]
  # Every seed is measured on the same images.
  _, _, result, _ = table(
    "transfer_findings",
    "--config.transfer.random_splits=2",
    "--config.transfer.train_per_class=2",
    folder=folder,
  )
  rows = {row["labels"][0]: row["ours"][0]["seeds"] for row in result["rows"]}
  assert len(rows["D trained above pixels"]) == 2
  assert len(rows["E above D"]) == 1


def test_computes_and_keeps(table, monkeypatch):
  arguments = "--config.transfer.layer=pool3", "--config.test_batch_size=16"
  status, err, result, _ = table("table11", *arguments)
  assert status == 0, err
  computed = [row["ours"] for row in result["rows"]]
  # Noise has no classes: all of eight are guessed.
  assert 0 < computed[0][0]["value"] < 40
  assert (table.results / "mini" / "photos" / "features.png").stat().st_size
  monkeypatch.setattr(outcomes, "_classify", None)
  status, _, result, _ = table("table11", *arguments, "--no_compute")
  assert status == 0
  assert [row["ours"] for row in result["rows"]] == computed


def test_says_what_is_missing(table, known, tmp_path, trained):
  runs = copy_runs(trained, tmp_path / "other", RUNS[:1])
  status, err, _, cells = table("table11", folder=runs)
  assert status == 0
  assert len(err) == 1
  assert "E-256-512 (not started)" in err[0]
  shown = {tuple(row[:2]): bool(row[3]) for row in cells}
  assert shown["D", "max"]
  assert not shown["E", "max"]
  assert not shown["D & E", "max"]


def test_what_is_not_computed_is_named(table):
  status, err, _, _ = table("table11", "--no_compute")
  assert status == 2
  assert len(err) == 1
  assert "features of pixels for classes; features of D for classes" in err[0]


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--protocols=voc", "table11: --protocols: 'voc' is not one of voc2007, "),
    ("--split=train", "table11: split train is tested and trained on"),
    ("--config.transfer.layer=x", "table11: transfer.layer 'x' is not one of"),
  ],
)
def test_bad_input(table, argument, message):
  status, err, _, _ = table("table11", argument)
  assert status == 2
  assert err[-1].startswith(message)


def test_the_papers_figures():
  def figures(rows):
    return [
      [row.paper.get(name) for name in table11.PAPER]
      for row in rows["imagenet"]
    ]

  assert figures(table11.TABLE.rows) == [
    [None, 79.0, "86.5 ± 0.5", "74.2 ± 0.3"],
    [82.4, 83.2, "88.4 ± 0.6", "77.6 ± 0.1"],
    [82.4, None, "93.4 ± 0.5", None],
    [81.5, 81.7, None, None],
    [85.2, 90.3, None, None],
    [89.3, 89.0, "91.8 ± 1.0", "85.0 ± 0.2"],
    [89.3, 89.0, "92.3 ± 0.5", "85.1 ± 0.3"],
    [89.7, 89.3, "92.7 ± 0.5", "86.2 ± 0.3"],
  ]
  assert [row.paper["actions"] for row in table12.TABLE.rows["imagenet"]] == [
    70.2,
    73.6,
    76.3,
    79.2,
    84.0,
  ]
  for item in transfer_findings.ITEMS:
    assert set(item.paper) <= set(item.protocols)
