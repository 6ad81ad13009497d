"""Every table and the findings, from all runs, against figures by hand."""

import json
import math
import re

import known_posteriors
import numpy as np
import paper_tables
import pytest
import tiny_runs
from known_posteriors import wrong
from tiny_runs import cells_of
from tiny_runs import trained as trained

from experiments import findings, table2

TABLES = tuple(paper_tables.ROWS)
DRIVERS = (*TABLES, "findings")
N = tiny_runs.NUM_TESTED


@pytest.fixture(scope="module")
def known(trained, tmp_path_factory):
  """Runs of two seeds with the known posteriors, and nothing to compute."""
  folder = tmp_path_factory.mktemp("known")
  runs = tiny_runs.copy_runs(trained, folder, seeds=(0, 1))
  known_posteriors.put(runs, seeds=(0, 1))
  return runs


@pytest.fixture(scope="module")
def results(known, tmp_path_factory):
  return tiny_runs.results_of(known, tmp_path_factory)


def measures_of(name):
  server = (
    [("top-5 on the server", None)] if name in ("table6", "table7") else []
  )
  return [("top-1", 1), ("top-5", 5), *server]


def expected(tests, k):
  """Two seeds' errors of a row by hand: mean, deviation, near interval."""
  images = [wrong(tests, seed, k) for seed in (0, 1)]
  first, second = (array.mean() for array in images)
  mean = (first + second) / 2
  deviation = abs(first - second) / math.sqrt(2)
  half = 1.96 * np.mean(images, axis=0).std() / math.sqrt(N)
  return [first, second], mean, deviation, (mean - half, mean + half)


@pytest.mark.parametrize("name", TABLES)
def test_each_row_has_its_own_error_and_the_papers(results, name):
  result, markdown = results(name)
  rows, wanted = cells_of(markdown), paper_tables.ROWS[name]
  assert len(rows) == len(wanted) == len(result["rows"])
  told_apart = set()
  for cells, row, (row_labels, figures, tests) in zip(
    rows, result["rows"], wanted, strict=True
  ):
    width = len(row_labels)
    assert tuple(cells[:width]) == tuple(row["labels"]) == row_labels
    assert cells[width::2] == ["" if f == "-" else f for f in figures]
    assert row["paper"] == [None if f == "-" else float(f) for f in figures]
    assert row.get("runs", []) == [run for run, _, _ in tests]
    if not tests:
      assert row["ours"] is None
      assert not any(cells[width + 1 :: 2])
      continue
    for text, cell, (_, k) in zip(
      cells[width + 1 :: 2], row["ours"], measures_of(name), strict=True
    ):
      if k is None:
        assert (text, cell) == ("", None)
        continue
      seeds, mean, deviation, near = expected(tests, k)
      assert cell["seeds"] == pytest.approx(seeds)
      assert cell["value"] == pytest.approx(mean)
      assert cell["spread"] == pytest.approx(deviation)
      assert cell["interval"] == pytest.approx(near, abs=1.5)
      low, high = cell["interval"]
      assert text == cell["text"]
      assert text == f"{mean:.2f} ± {deviation:.2f} [{low:.1f}, {high:.1f}]"
    told_apart.add(tuple(cells[width + 1 :: 2]))
  # No row could stand in another's place.
  assert len(told_apart) == sum(bool(tests) for _, _, tests in wanted)


def test_a_single_tests_error_is_the_one_it_was_made_with(results):
  rows = {tuple(row["labels"]): row for row in results("table3")[0]["rows"]}
  for row_labels, _, [(run, (q,), _)] in paper_tables.ROWS["table3"]:
    for k, cell in zip((1, 2), rows[row_labels]["ours"], strict=True):
      made = [known_posteriors.arrays(s)[run, "dense", q][k] for s in (0, 1)]
      assert cell["seeds"] == pytest.approx([100 * m / N for m in made])


@pytest.mark.parametrize("name", DRIVERS)
def test_what_was_measured_is_told_and_no_machine_named(results, known, name):
  result, markdown = results(name)
  about = {"profile": "mini", "data": "folder:photos", "split": "test"}
  about |= {"num_images": 96, "num_classes": 8, "seeds": [0, 1]}
  assert {key: result[key] for key in about} == about
  assert result["name"] == name
  assert result["command"].startswith(
    f"python -m experiments.{name} --profile=mini --runs="
  )
  assert result["command"] in markdown
  assert result["title"] in markdown
  assert "mean over 2 seeds" in markdown
  assert "96 images of folder:photos, split test, 8 classes" in markdown
  for text in (markdown, json.dumps(result)):
    assert str(known.parent) not in text
    assert not re.search(r"[=: \"]/\w", text)


def test_findings_are_differences_by_hand(results):
  result, markdown = results("findings")
  rows = cells_of(markdown)
  wanted = list(paper_tables.differences())
  assert len(rows) == len(wanted) == len(findings.FINDINGS.items) == 22
  verdicts = []
  for cells, row, (worse, better, paper) in zip(
    rows, result["rows"], wanted, strict=True
  ):
    assert row["paper"] == [paper]
    assert cells[:3] == [*row["labels"], str(paper)]
    pairs = np.array([wrong(worse, s) - wrong(better, s) for s in (0, 1)])
    [cell] = row["ours"]
    assert cell["seeds"] == pytest.approx(pairs.mean(axis=1).tolist())
    assert cell["value"] == pytest.approx(pairs.mean())
    half = 1.96 * pairs.mean(axis=0).std() / math.sqrt(N)
    near = pairs.mean() - half, pairs.mean() + half
    assert cell["interval"] == pytest.approx(near, abs=1.5)
    low, high = cell["interval"]
    word = "undecided" if low <= 0 <= high else "holds"
    verdicts.append("does not hold" if high < 0 else word)
    assert cell["verdict"] == verdicts[-1]
    value = f"{pairs.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
    assert cells[3] == cell["text"] == f"{value}, {verdicts[-1]}"
  assert set(verdicts) == {"holds", "does not hold", "undecided"}


def test_each_finding_names_the_networks_it_compares(results):
  """What a finding says fits the tests by which it is decided."""
  for row, (worse, better, _) in zip(
    results("findings")[0]["rows"], paper_tables.differences(), strict=True
  ):
    first, _, second = row["labels"][0].partition("above")
    for part, tests in ((first, worse), (second, better)):
      nets = {
        run.removesuffix("-fc").rstrip("-0123456789") for run, *_ in tests
      }
      named = set(re.findall(r"\b(A-LRN|B-shallow|[A-E])\b", part))
      assert named <= nets
      assert named or part is second or len(tests) == 7


def test_table_2_needs_no_run(tmp_path):
  assert table2.main([f"--results={tmp_path}"]) == 0
  rows = cells_of((tmp_path / "table2.md").read_text())
  assert {name: float(paper) for name, paper, _ in rows} == paper_tables.TABLE_2
  # SPEC's counts, in millions.
  assert [float(ours) for *_, ours in rows] == [
    132.863336,
    133.047848,
    133.638952,
    138.357544,
    143.667240,
  ]
  ours = [
    row["ours"]
    for row in json.loads((tmp_path / "table2.json").read_text())["rows"]
  ]
  assert [round(cell["value"]) for [cell] in ours] == [133, 133, 134, 138, 144]
