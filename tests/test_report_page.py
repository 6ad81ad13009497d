"""The report's page: every figure is on it, and nothing else is loaded."""

import re

import pytest

pytest.importorskip("matplotlib")
from report_content import (
  ABOUT,
  NASTY,
  Page,
  make_content,
  make_findings,
  make_png,
  make_run,
  make_table,
)
from report_content import page as page
from report_content import source as source

from experiments import (
  report,
  report_tables,
)


def test_loads_nothing(page, source):
  names = {name for name, _ in page.tags}
  assert not names & {"script", "link", "iframe", "object", "b", "base"}
  assert all(v.startswith("data:image/png;base64,") for v in page.values("src"))
  assert not page.values("srcset")
  assert all(v.startswith("#") for v in page.values("href"))
  assert not re.search(r"https?:|url\(|@import|javascript:", source)


def test_anchors_resolve(page):
  ids = page.values("id")
  assert len(ids) == len(set(ids))
  links = {v.removeprefix("#") for v in page.values("href")}
  assert links <= set(ids)
  assert {"run-A-256", "run-B-256", "table3", "findings"} <= links


def test_is_accessible(page):
  assert page.named("html")[0]["lang"] == "en"
  assert "width=device-width" in page.named("meta")[1]["content"]
  images = page.named("img")
  # A chart, a mistake and a map.
  assert len(images) == 3
  assert all(image["alt"] for image in images)
  assert NASTY in images[1]["alt"]
  assert all("scope" in head for head in page.named("th"))
  assert len(page.tables) == len(page.named("table"))


def test_tables_scroll_in_boxes_of_their_own(page):
  for i, (name, _) in enumerate(page.tags):
    if name in ("table", "pre"):
      assert page.tags[i - 1][1]["class"] == "scroll"


def test_names_no_path_of_a_machine(source):
  assert "/home/" not in source
  assert "folder:photos" in source


def test_the_head_says_what_was_measured(page):
  assert "profile mini on folder:photos" in page.text
  assert "Split test of folder:photos: 5,000 images of 3 classes" in page.text
  assert "seeds 0, 1." in page.text
  assert "Ours are not of ImageNet" in page.text


def test_imagenet_is_not_denied():
  about = {**ABOUT, "profile": "imagenet", "num_classes": 1000}
  assert "not" not in report.comparison(about)


def test_what_is_missing_is_named(page):
  assert (
    "Not there: table2; Not readable: table4. python -m experiments.table2 "
    "makes the first, and so on."
  ) in page.text
  assert "No metrics of A-LRN-256, B-256, " in page.text


def test_without_the_rest():
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


def test_weights_are_named():
  page = Page(report.make_page(make_content(weights=["D=runs/mine"])))
  assert "trained elsewhere were given: D=runs/mine." in page.text


def test_every_figure_and_difference(page):
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


def test_only_runs_with_a_section_are_linked(page):
  assert "#run-B-256" in page.values("href")
  assert "#run-D-384" not in page.values("href")


def test_the_command_is_below(page):
  assert "python -m experiments.table3 --runs=…/photos" in page.text


def test_a_caption_is_repeated_only_where_it_differs():
  other = {**make_table("table4"), "title": "4", "num_images": 17}
  same = {**make_table("table5"), "title": "5"}
  content = make_content()
  content["results"] |= {"table4": other, "table5": same}
  text = Page(report.make_page(content)).text
  assert text.count("Ours: profile mini, 5,000 images") == 1
  assert text.count("Ours: profile mini, 17 images") == 1


def test_without_figures_of_the_paper():
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


def test_localization_has_a_section_if_it_was_measured(page):
  assert "localization" not in page.values("id")
  table = {**make_table("table9"), "title": "Table 9"}
  findings = make_findings() | {"name": "localization_findings", "title": "L"}
  findings["rows"][0]["paper"] = [None]
  content = make_content()
  content["results"] |= {"table9": table, "localization_findings": findings}
  found = Page(report.make_page(content))
  assert "#localization" in found.values("href")
  assert found.tables["Table 9"][2][2:4] == ["29.6", "6.44 [5.8, 7.1]"]
  assert found.tables["L"][1] == ["A above B", "4.1", "not measured", "", "–"]
  assert found.text.count("one system's localization error is above") == 1
  # It does not stand among the others.
  assert len(found.tables) == len(page.tables) + 2


def test_features_have_a_section_if_they_were_measured(page):
  assert "transfer" not in page.values("id")
  table = {**make_table("table11"), "title": "Table 11"}
  table["rows"][0]["paper"][0] = "5.4 ± 1.0"
  findings = make_findings() | {"name": "transfer_findings", "title": "F"}
  findings["columns"] = ["Finding", "Protocol"]
  content = make_content(feature_map=make_png())
  content["results"] |= {"table11": table, "transfer_findings": findings}
  found = Page(report.make_page(content))
  assert "#transfer" in found.values("href")
  row = found.tables["Table 11"][2]
  assert row[2:5] == ["5.4 ± 1.0", "6.44 [5.8, 7.1]", "+1.04"]
  assert found.tables["F"][0][:3] == ["Finding", "Protocol", "Verdict"]
  assert found.text.count("one system's recall or mAP is above") == 1
  assert len(found.named("img")) == len(page.named("img")) + 1
  assert len(found.tables) == len(page.tables) + 2


def test_findings(page):
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
