"""The report's best system: classes, mistakes and score maps."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from report_content import NASTY, Page, cell, make_best
from report_content import page as page
from report_content import source as source

from experiments import (
  report_best,
  report_classes,
  table3,
)
from vggjax.evaluate.store import Posteriors


def results(*errors):
  rows = [
    {"labels": list(row.labels), "ours": error and [cell(error, 0, 1)]}
    for row, error in zip(table3.TABLE.rows, errors, strict=False)
  ]
  return {"table3": {"rows": rows}}


def test_is_the_lowest_of_what_was_measured():
  best = report_best.find_best(results(5.0, None, 3.0, 3.0))
  assert best.system == table3.TABLE.rows[2].system
  assert best.error == 3.0
  assert report_best.name_of(best) == "Network B, S 256, Q 256"


def test_none():
  assert report_best.find_best({}) is None
  assert report_best.find_best(results(None)) is None
  unknown = {"rows": [{"labels": ["Z"], "ours": [cell(1.0, 0, 1)]}]}
  assert report_best.find_best({"table3": unknown}) is None


def item():
  posteriors = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.9, 0], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]]
  )
  labels, ids = np.array([0, 0, 1, 2]), np.array(["a", "b", "c", "d"])
  return Posteriors(posteriors, labels, ids, {})


def test_confusion():
  matrix = report_best.confusion(item())
  assert matrix.tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_worst_mistakes_first():
  assert report_best.worst_mistakes(item()) == [1, 3, 2]
  assert report_best.worst_mistakes(item(), 2) == [1, 3]
  assert report_best.describe(item(), 3, None) == {
    "id": "d",
    "true": 2,
    "said": 1,
    "posterior": 0.8,
    "png": None,
  }


def test_sections(page):
  names = [f"{NASTY}{i}" for i in range(3)]
  assert page.tables["Top-1 error of each class"][1:] == [
    [names[0], "20.0", "", "10"],
    [names[1], "0.0", "", "8"],
    [names[2], "0.0", "", "8"],
  ]
  assert page.tables["Confusion matrix"] == [
    ["true \\ said", *names],
    [names[0], "8", "", "2"],
    [names[1], "", "8", ""],
    [names[2], "", "", "8"],
  ]
  assert page.tables["Most confused pairs"][1:] == [
    [names[0], names[2], "2", "20.0"]
  ]
  assert f"A {NASTY} of Table 3 has the lowest" in page.text
  assert "seed 1: 7.69 % of 26 images wrong" in page.text
  caption = f"said {names[2]} 98.7 % true: {names[0]} x/{NASTY}.jpg"
  assert caption in page.text
  assert f"said {names[1]} 50.0 %" in page.text
  assert f"true: {names[1]}" not in page.text


def test_many_classes():
  best = make_best(40)
  page = Page(report_classes.best_sections(best))
  assert "The 30 worst of 40 classes" in page.text
  assert len(page.tables["Top-1 error of each class"]) == 31
  assert "Confusion matrix" not in page.tables
  assert len(page.tables["Most confused pairs"]) == 2


def test_a_class_without_images_has_no_error():
  matrix = np.array([[0, 0], [1, 3]])
  rows = Page(report_classes.class_errors(matrix, ["a", "b"])).tables
  assert rows["Top-1 error of each class"][1:] == [["b", "25.0", "", "4"]]


def test_no_mistakes():
  best = {
    **make_best(),
    "mistakes": [],
    "confusion": 5 * np.eye(3, dtype=int),
  }
  page = Page(report_classes.best_sections(best))
  assert "It makes none here." in page.text
  assert "No image is confused with another class." in page.text


def test_without_matplotlib():
  best = make_best()
  for item in (*best["mistakes"], *best["maps"]):
    item["png"] = None
  page = Page(report_classes.best_sections(best))
  assert not page.named("img")
  assert f"x/{NASTY}.jpg" in page.text
