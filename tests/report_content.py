"""What a report shows, and what a browser would read of it."""

import html.parser
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from experiments import (
  report,
)

NASTY = "<b>&\"'"
ABOUT = {
  "profile": "mini",
  "data": "folder:/home/someone/photos",
  "split": "test",
  "num_images": 5000,
  "num_classes": 3,
  "seeds": [0, 1],
}


class Page(html.parser.HTMLParser):
  """What a reader of a page meets.

  Attributes:
    tags: (name, attributes) in order.
    text: of the whole page, white space collapsed; style left out.
    tables: caption -> rows of the texts of their cells.
  """

  def __init__(self, source):
    super().__init__()
    self.tags, self.tables = [], {}
    self._open, self._texts, self._rows = [], [], []
    self.feed(source)
    self.close()
    assert self._open == [], "elements are not closed"
    self.text = " ".join("".join(self._texts).split())

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in ("meta", "img"):
      self._open.append(tag)
    if tag == "caption":
      self._rows = None
    elif tag == "tr":
      self._rows.append([])
    elif tag in ("th", "td"):
      self._rows[-1].append("")

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    if "style" in self._open:
      return
    self._texts.append(data)
    if "caption" in self._open:
      self._rows = self.tables[data] = []
    elif "th" in self._open or "td" in self._open:
      self._rows[-1][-1] += data.strip("\n")

  def values(self, attribute):
    """All values of an attribute."""
    return [a[attribute] for _, a in self.tags if attribute in a]

  def named(self, tag):
    """The attributes of all elements of a name."""
    return [attributes for name, attributes in self.tags if name == tag]


def cell(value, low, high):
  return {
    "value": value,
    "interval": [low, high],
    "text": f"{value:.2f} [{low:.1f}, {high:.1f}]",
  }


def make_table(name="table3"):
  return {
    "name": name,
    "title": f"Table {NASTY}",
    "columns": ["Network", "S"],
    "measures": ["top-1", "top-5", "server"],
    "rows": [
      {
        "labels": ["A", "256"],
        "paper": [29.6, 10.4, 7.0],
        "ours": [cell(6.44, 5.78, 7.12), cell(0.6, 0.4, 0.82), None],
        "runs": ["A-256"],
      },
      {
        "labels": ["B", NASTY],
        "paper": [28.0, 9.9, None],
        "ours": None,
        "runs": ["B-256", "B-256", "D-384"],
      },
      {"labels": ["others'", ""], "paper": [None, None, 6.7], "ours": None},
    ],
    "command": f"python -m experiments.{name} --runs=/home/me/runs/photos",
    **ABOUT,
  }


def make_findings():
  rows = [
    {"labels": ["A above B", "4.1"], "paper": [0.9], "ours": None},
  ]
  for value, word in (
    (1.25, "holds"),
    (-1.5, "does not hold"),
    (0.1, "undecided"),
  ):
    interval = [value - 0.5, value + 0.5]
    ours = {"value": value, "interval": interval, "verdict": word}
    ours["seeds"] = [value] if word == "undecided" else [value, value]
    labels = [f"{word} {NASTY}", "4.2"]
    rows.append({"labels": labels, "paper": [0.7], "ours": [ours]})
  title = "The paper's findings"
  about = {"name": "findings", "title": title, "command": "findings"}
  about["columns"] = ["Finding", "Sect."]
  return {**about, "rows": rows, **ABOUT}


def make_run(name, seed=0, finished=True):
  validation = {"kind": "validation", "loss": 1.0, "top5_error": 1.0}
  records = [
    {"kind": "train", "step": 10, "loss": 2.0, "top1_error": 80.0},
    {**validation, "step": 10, "top1_error": 6.25},
    {**validation, "step": 20, "top1_error": 7.5},
  ]
  return {
    "run": name,
    "seed": seed,
    "workdir": f"runs/photos/seed-{seed}/{name}",
    "state": "finished, 20 steps" if finished else "not started",
    "command": f"python -m vggjax.main --config.seed={seed} '{NASTY}'",
    "records": records if finished else [],
    "changes": [("batch_size", 64, 32)] if finished else [],
    "config": {"batch_size": 32, "crop_size": 64} if finished else {},
    "best": records[1] if finished else None,
    "final": records[2] if finished else None,
  }


def make_png(color=(200, 30, 30)):
  file = io.BytesIO()
  Image.new("RGB", (8, 6), color).save(file, "PNG")
  return file.getvalue()


def make_best(num_classes=3):
  names = [f"{NASTY}{i}" for i in range(num_classes)]
  mistake = {"id": f"x/{NASTY}.jpg", "true": 0, "said": 2, "posterior": 0.987}
  right = {"id": "y.jpg", "true": 1, "said": 1, "posterior": 0.5}
  matrix = 8 * np.eye(num_classes, dtype=int)
  matrix[0, 2] = 2
  return {
    "table": "table3",
    "name": f"A {NASTY}",
    "seed": 1,
    "class_names": names,
    "error": 7.69,
    "confusion": matrix,
    "mistakes": [{**mistake, "png": make_png()}],
    "maps": [{**right, "png": make_png((0, 0, 9))}],
  }


def make_content(**changes):
  return {
    "about": make_table(),
    "results": {"table3": make_table(), "findings": make_findings()},
    "missing": {"table2": "Not there", "table4": "Not readable"},
    "options": "--profile=mini --runs=runs/photos",
    "weights": [],
    "runs": [make_run("A-256"), make_run("A-256", 1), make_run("B-256", 0, 0)],
    "best": make_best(),
    **changes,
  }


@pytest.fixture(scope="module")
def source():
  return report.make_page(make_content())


@pytest.fixture(scope="module")
def page(source):
  return Page(source)
