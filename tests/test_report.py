"""The report: every figure is on the page, and nothing else is loaded."""

import dataclasses
import html.parser
import io
import json
import re
import shlex

import numpy as np
import pytest
import tiny
from PIL import Image

pytest.importorskip("matplotlib")
from experiments import (
  output,
  report,
  report_best,
  report_classes,
  report_runs,
  report_tables,
  table3,
)
from experiments.chain import Chain
from vggjax import config as configuration
from vggjax import main
from vggjax.evaluate.store import Posteriors
from vggjax.tasks import run as task_run

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
  return {"name": "findings", "rows": rows, "command": "findings", **ABOUT}


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


class TestPage:
  def test_loads_nothing(self, page, source):
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "b", "base"}
    assert all(
      v.startswith("data:image/png;base64,") for v in page.values("src")
    )
    assert not page.values("srcset")
    assert all(v.startswith("#") for v in page.values("href"))
    assert not re.search(r"https?:|url\(|@import|javascript:", source)

  def test_anchors_resolve(self, page):
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = {v.removeprefix("#") for v in page.values("href")}
    assert links <= set(ids)
    assert {"run-A-256", "run-B-256", "table3", "findings"} <= links

  def test_is_accessible(self, page):
    assert page.named("html")[0]["lang"] == "en"
    assert "width=device-width" in page.named("meta")[1]["content"]
    images = page.named("img")
    # A chart, a mistake and a map.
    assert len(images) == 3
    assert all(image["alt"] for image in images)
    assert NASTY in images[1]["alt"]
    assert all("scope" in head for head in page.named("th"))
    assert len(page.tables) == len(page.named("table"))

  def test_tables_scroll_in_boxes_of_their_own(self, page):
    for i, (name, _) in enumerate(page.tags):
      if name in ("table", "pre"):
        assert page.tags[i - 1][1]["class"] == "scroll"

  def test_names_no_path_of_a_machine(self, source):
    assert "/home/" not in source
    assert "folder:photos" in source

  def test_the_head_says_what_was_measured(self, page):
    assert "profile mini on folder:photos" in page.text
    assert "Split test of folder:photos: 5,000 images of 3 classes" in page.text
    assert "seeds 0, 1." in page.text
    assert "Ours are not of ImageNet" in page.text

  def test_imagenet_is_not_denied(self):
    about = {**ABOUT, "profile": "imagenet", "num_classes": 1000}
    assert "not" not in report.comparison(about)

  def test_what_is_missing_is_named(self, page):
    assert (
      "Not there: table2; Not readable: table4. python -m experiments.table2 "
      "makes the first, and so on."
    ) in page.text
    assert "No metrics of A-LRN-256, B-256, " in page.text

  def test_without_the_rest(self):
    """Only one table: the page says what is not there."""
    content = make_content(
      results={"table3": make_table()},
      missing={"findings": "Not there"},
      best={"missing": "A needs <runs>"},
      runs=[make_run("A-256", 0, 0)],
    )
    page = Page(report.make_page(content))
    assert (
      "Not there: findings. python -m experiments.findings --profile=mini "
      "--runs=runs/photos makes it."
    ) in page.text
    assert "A needs <runs>" in page.text
    assert not page.named("img")

  def test_weights_are_named(self):
    page = Page(report.make_page(make_content(weights=["D=runs/mine"])))
    assert "trained elsewhere were given: D=runs/mine." in page.text


class TestTables:
  def test_every_figure_and_difference(self, page):
    rows = page.tables[f"Table {NASTY}"]
    assert rows == [
      ["Network", "S", "top-1", "top-5", "server", "runs"],
      ["paper", "ours", "difference"] * 2 + ["paper"],
      [
        *("A", "256"),
        *("29.6", "6.44 [5.8, 7.1]", "−23.16"),
        *("10.4", "0.60 [0.4, 0.8]", "−9.80"),
        *("7.0", "A-256"),
      ],
      ["B", NASTY, "28.0", "", "", "9.9", "", "", "", "B-256, D-384"],
      ["others'", "", "", "", "", "", "", "", "6.7", ""],
    ]

  def test_only_runs_with_a_section_are_linked(self, page):
    assert "#run-B-256" in page.values("href")
    assert "#run-D-384" not in page.values("href")

  def test_the_command_is_below(self, page):
    assert "python -m experiments.table3 --runs=…/photos" in page.text

  def test_a_caption_is_repeated_only_where_it_differs(self):
    other = {**make_table("table4"), "title": "4", "num_images": 17}
    same = {**make_table("table5"), "title": "5"}
    content = make_content()
    content["results"] |= {"table4": other, "table5": same}
    text = Page(report.make_page(content)).text
    assert text.count("Ours: profile mini, 5,000 images") == 1
    assert text.count("Ours: profile mini, 17 images") == 1

  def test_without_figures_of_the_paper(self):
    table = make_table()
    table["rows"] = [{**table["rows"][0], "paper": [None, 10.4, None]}]
    rows = Page(report_tables.table_section(table, [])).tables[table["title"]]
    assert rows == [
      ["Network", "S", "top-1", "top-5", "runs"],
      ["ours", "paper", "ours", "difference"],
      [
        *("A", "256", "6.44 [5.8, 7.1]"),
        *("10.4", "0.60 [0.4, 0.8]", "−9.80", "A-256"),
      ],
    ]

  def test_findings(self, page):
    head, unmeasured, *rows = page.tables["The paper's findings"]
    assert head == ["Finding", "Sect.", "Verdict", "paper", "ours"]
    assert unmeasured == ["A above B", "4.1", "not measured", "+0.90", "–"]
    for row, word, ours in zip(
      rows,
      ("holds", "does not hold", "undecided"),
      (
        "+1.25 [+0.75, +1.75]",
        "−1.50 [−2.00, −1.00]",
        "+0.10 [−0.40, +0.60], 1 of 2 seeds",
      ),
      strict=True,
    ):
      assert row == [f"{word} {NASTY}", "4.2", word, "+0.70", ours]
    assert (
      "4 findings; holds: 1, does not hold: 1, undecided: 1, not measured: 1."
    ) in page.text
    badges = [v for v in page.values("class") if v.startswith("badge ")]
    assert badges == [
      "badge unmeasured",
      "badge holds",
      "badge fails",
      "badge open",
    ]


class TestRuns:
  def test_section_of_a_run(self, page):
    state = "finished, 20 steps", "6.25 (step 10)", "7.50 (step 20)"
    assert page.tables["A-256"][1:] == [
      ["0", "runs/photos/seed-0/A-256", *state],
      ["1", "runs/photos/seed-1/A-256", *state],
    ]
    assert page.tables["B-256"][1][2:] == ["not started", "–", "–"]
    assert (
      "Differs from the profile: batch_size = 32 (profile: 64)." in page.text
    )
    assert "crop_size = 64" in page.text
    assert f"--config.seed=1 '{NASTY}'" in page.text

  def test_the_chart_in_words(self):
    runs = [make_run("C-256"), make_run("C-384", 1), make_run("D-256")]
    text = report_runs.curves_text("C", runs)
    assert "C-256, seed 0: 7.5; C-384, seed 1: 7.5." in text
    assert "D-256" not in text

  def test_stages_of_a_network_share_a_chart(self):
    runs = [make_run("C-384"), make_run("C-256"), make_run("C-256", 1)]
    runs += [make_run("A-256", 0, 0)]
    networks = report_runs.stages_of_networks(runs)
    assert list(networks) == ["C"]
    assert [(name, len(seeds)) for name, seeds in networks["C"]] == [
      ("C-256", 2),
      ("C-384", 1),
    ]

  def test_the_command_trains_the_same_run(self, tmp_path):
    chain = Chain("mini", tmp_path / "photos")
    changed = dataclasses.replace(
      chain,
      overrides=("--config.train_scale=(64,80)", "--config.mirror=False"),
    )
    wanted = changed.config("D-384", 2)
    workdir = chain.workdir("D-384", 2)
    workdir.mkdir(parents=True)
    configuration.save_config(wanted, workdir / task_run.CONFIG_FILE)
    found = report_runs.describe(chain, "D-384", 2, workdir)
    words = shlex.split(found["command"].replace("\\\n", ""))
    assert words[:3] == ["python", "-m", "vggjax.main"]
    assert words[-1] == "--workdir=…/photos/seed-2/D-384"
    assert configuration.parse_arguments(words[3:])[0] == wanted
    assert {key: own for key, _, own in found["changes"]} == {
      "train_scale": (64, 80),
      "mirror": False,
    }
    assert found["state"] == "not started"
    assert found["best"] is found["final"] is None

  def test_best_and_final_validation(self, tmp_path):
    records = [
      {"kind": kind, "step": step, "top1_error": error}
      for kind, step, error in (
        ("validation", 10, 9.0),
        ("validation", 20, 7.0),
        ("train", 30, 1.0),
        ("validation", 30, 8.0),
      )
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(lines)
    found = report_runs.describe(Chain("mini", tmp_path), "A-256", 0, tmp_path)
    assert (found["best"]["step"], found["final"]["step"]) == (20, 30)

  def test_a_config_that_cannot_be_read(self, tmp_path):
    chain = Chain("mini", tmp_path)
    (tmp_path / task_run.CONFIG_FILE).write_text("{")
    found = report_runs.describe(chain, "A-256", 0, tmp_path)
    assert found["config"] == {}
    assert found["changes"] == []

  def test_the_command_of_a_run_to_come(self, tmp_path):
    chain = Chain("mini", tmp_path, ("--config.dataset.source=folder:/a/b",))
    [found] = [
      r for r in report_runs.collect(chain, [3]) if r["run"] == "A-256"
    ]
    assert shlex.split(found["command"].replace("\\\n", ""))[3:-1] == [
      "--config=configs/classification.py:A-256,mini",
      "--config.seed=3",
      "--config.dataset.source=folder:…/b",
    ]


class TestBest:
  def results(self, *errors):
    rows = [
      {"labels": list(row.labels), "ours": error and [cell(error, 0, 1)]}
      for row, error in zip(table3.TABLE.rows, errors, strict=False)
    ]
    return {"table3": {"rows": rows}}

  def test_is_the_lowest_of_what_was_measured(self):
    best = report_best.find_best(self.results(5.0, None, 3.0, 3.0))
    assert best.system == table3.TABLE.rows[2].system
    assert best.error == 3.0
    assert report_best.name_of(best) == "Network B, S 256, Q 256"

  def test_none(self):
    assert report_best.find_best({}) is None
    assert report_best.find_best(self.results(None)) is None
    unknown = {"rows": [{"labels": ["Z"], "ours": [cell(1.0, 0, 1)]}]}
    assert report_best.find_best({"table3": unknown}) is None

  def item(self):
    posteriors = np.array(
      [[0.7, 0.2, 0.1], [0.1, 0.9, 0], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]]
    )
    labels, ids = np.array([0, 0, 1, 2]), np.array(["a", "b", "c", "d"])
    return Posteriors(posteriors, labels, ids, {})

  def test_confusion(self):
    matrix = report_best.confusion(self.item())
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]

  def test_worst_mistakes_first(self):
    assert report_best.worst_mistakes(self.item()) == [1, 3, 2]
    assert report_best.worst_mistakes(self.item(), 2) == [1, 3]
    assert report_best.describe(self.item(), 3, None) == {
      "id": "d",
      "true": 2,
      "said": 1,
      "posterior": 0.8,
      "png": None,
    }

  def test_sections(self, page):
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

  def test_many_classes(self):
    best = make_best(40)
    page = Page(report_classes.best_sections(best))
    assert "The 30 worst of 40 classes" in page.text
    assert len(page.tables["Top-1 error of each class"]) == 31
    assert "Confusion matrix" not in page.tables
    assert len(page.tables["Most confused pairs"]) == 2

  def test_a_class_without_images_has_no_error(self):
    matrix = np.array([[0, 0], [1, 3]])
    rows = Page(report_classes.class_errors(matrix, ["a", "b"])).tables
    assert rows["Top-1 error of each class"][1:] == [["b", "25.0", "", "4"]]

  def test_no_mistakes(self):
    best = {
      **make_best(),
      "mistakes": [],
      "confusion": 5 * np.eye(3, dtype=int),
    }
    page = Page(report_classes.best_sections(best))
    assert "It makes none here." in page.text
    assert "No image is confused with another class." in page.text

  def test_without_matplotlib(self):
    best = make_best()
    for item in (*best["mistakes"], *best["maps"]):
      item["png"] = None
    page = Page(report_classes.best_sections(best))
    assert not page.named("img")
    assert f"x/{NASTY}.jpg" in page.text


@pytest.mark.parametrize(
  ("text", "wanted"),
  [
    ("--runs=/home/me/runs/a --x=/tmp/b.json", "--runs=…/a --x=…/b.json"),
    ("folder:/data/photos", "folder:…/photos"),
    ("imagenette/320px-v2 ../a/b ./c", "imagenette/320px-v2 ../a/b ./c"),
    ("'/a/b', \"/c\"", "'…/b', \"…/c\""),
    ("paper / ours", "paper / ours"),
  ],
)
def test_short_paths(text, wanted):
  assert output.short_paths(text) == wanted


def test_paths_below_the_current_folder_stay(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / "runs/a/seed-0/D"
  assert output.short_path(path) == "runs/a/seed-0/D"
  assert output.short_paths(f"--workdir={path}") == (
    "--workdir=runs/a/seed-0/D"
  )


def test_results_that_are_there_and_not(tmp_path):
  folder = tmp_path / "mini" / "photos"
  folder.mkdir(parents=True)
  (tmp_path / "table2.json").write_text('{"name": "table2"}')
  (folder / "table3.json").write_text('{"name": "table3"}')
  (folder / "table4.json").write_text('{"name": ')
  (folder / "table5.json").write_text("3")
  results, missing = report.read_results(folder)
  assert set(results) == {"table2", "table3"}
  assert missing["table4"] == missing["table5"] == "Not readable"
  assert missing["table6"] == missing["findings"] == "Not there"


def test_no_runs(tmp_path, capsys):
  arguments = [
    "--profile=mini",
    f"--runs={tmp_path}/x",
    f"--results={tmp_path}",
  ]
  assert report.main(arguments) == 2
  assert capsys.readouterr().err.startswith(f"report: {tmp_path}/x has no")


def test_results_without_runs(tmp_path):
  folder = tmp_path / "mini" / "photos"
  folder.mkdir(parents=True)
  table = {**make_table(), "rows": []}
  (folder / "table3.json").write_text(json.dumps(table))
  arguments = [
    "--profile=mini",
    f"--runs={tmp_path}/x",
    f"--results={tmp_path}",
  ]
  assert report.main(arguments) == 0
  page = Page((folder / "report.html").read_text())
  assert "No row of Tables 3 to 6 is measured." in page.text
  assert str(tmp_path) not in page.text


def photo_folder(root):
  """Photos of three classes, all of one size, so that little is compiled."""
  rng = np.random.default_rng(0)
  for split, count in (("train", 4), ("validation", 1), ("test", 3)):
    for name in tiny.CLASSES:
      (root / split / name).mkdir(parents=True)
      for i in range(count):
        image = rng.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(image).save(root / split / name / f"{i}.png")
  return root


@pytest.fixture
def trained(tmp_path, quick_compile):
  """A folder with the run A-256 of seed 0, for three steps."""
  photos = photo_folder(tmp_path / "photos")
  overrides = (
    f"--config.dataset.source=folder:{photos}",
    "--config.width=0.0625",
    "--config.crop_size=32",
    "--config.train_scale=(32,40)",
    "--config.batch_size=8",
    "--config.num_steps=3",
    "--config.boundaries=()",
    "--config.log_every=1",
    "--config.progress=False",
    "--config.pictures=False",
    "--config.num_devices=1",
  )
  chain = Chain("mini", tmp_path / "runs", overrides)
  assert main.main(chain.arguments("A-256", 0)) == 0
  return tmp_path


def test_of_a_trained_run(trained, capsys):
  arguments = [
    "--profile=mini",
    f"--runs={trained}/runs",
    f"--results={trained}/results",
  ]
  assert report.main(arguments) == 2
  assert (
    "has no results; python -m experiments.table3" in capsys.readouterr().err
  )
  assert table3.run_table(table3.TABLE, arguments) == 0
  assert report.main(arguments) == 0
  path = trained / "results/mini/photos/report.html"
  assert capsys.readouterr().out.endswith(f"report: written to {path}\n")
  source = path.read_text()
  page = Page(source)
  assert str(trained) not in source
  assert len(source) < 4e6
  assert "Network A, S 256, Q 256 of Table 3 has the lowest" in page.text
  results = json.loads(path.with_name("table3.json").read_text())
  error = results["rows"][0]["ours"][0]["value"]
  assert f"seed 0: {error:.2f} % of 9 images wrong" in page.text
  rows = page.tables["Table 3: single test scale (Sect. 4.1)"]
  assert rows[2][4].startswith(f"{error:.2f} [")
  wrong = sum(
    int(row[j] or 0)
    for i, row in enumerate(page.tables["Confusion matrix"][1:])
    for j in range(1, 4)
    if i + 1 != j
  )
  assert error == pytest.approx(100 * wrong / 9)
  # A chart, the mistakes and six maps.
  assert len(page.named("img")) == 1 + wrong + 6
  assert page.tables["A-256"][1][2] == "finished, 3 steps"
  assert page.tables["E-256"][1][2] == "not started"
  assert "table2" in page.text
