"""The report, from results and from a trained run."""

import json

import numpy as np
import pytest
import tiny
from PIL import Image

pytest.importorskip("matplotlib")
from report_content import Page, make_table

from experiments import (
  output,
  report,
  table3,
)
from experiments.chain import Chain
from vggjax import main


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
