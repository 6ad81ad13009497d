"""The report's runs: curves, settings and commands."""

import dataclasses
import json
import shlex

import pytest

pytest.importorskip("matplotlib")
from report_content import NASTY, make_run
from report_content import page as page
from report_content import source as source

from experiments import (
  report_runs,
)
from experiments.chain import Chain
from vggjax import checkpoint
from vggjax import config as configuration


def test_section_of_a_run(page):
  state = "finished, 20 steps", "6.25 (step 10)", "7.50 (step 20)"
  assert page.tables["A-256"][1:] == [
    ["0", "runs/photos/seed-0/A-256", *state],
    ["1", "runs/photos/seed-1/A-256", *state],
  ]
  assert page.tables["B-256"][1][2:] == ["not started", "–", "–"]
  assert "Differs from the profile: batch_size = 32 (profile: 64)." in page.text
  assert "crop_size = 64" in page.text
  assert f"--config.seed=1 '{NASTY}'" in page.text


def test_the_chart_in_words():
  runs = [make_run("C-256"), make_run("C-384", 1), make_run("D-256")]
  text = report_runs.curves_text("C", runs)
  assert "C-256, seed 0: 7.5; C-384, seed 1: 7.5." in text
  assert "D-256" not in text


def test_stages_of_a_network_share_a_chart():
  runs = [make_run("C-384"), make_run("C-256"), make_run("C-256", 1)]
  runs += [make_run("A-256", 0, 0)]
  networks = report_runs.stages_of_networks(runs)
  assert list(networks) == ["C"]
  assert [(name, len(seeds)) for name, seeds in networks["C"]] == [
    ("C-256", 2),
    ("C-384", 1),
  ]


def test_the_command_trains_the_same_run(tmp_path):
  chain = Chain("mini", tmp_path / "photos")
  changed = dataclasses.replace(
    chain,
    overrides=("--config.train_scale=(64,80)", "--config.mirror=False"),
  )
  wanted = changed.config("D-384", 2)
  workdir = chain.workdir("D-384", 2)
  workdir.mkdir(parents=True)
  configuration.save_config(wanted, workdir / checkpoint.CONFIG_FILE)
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


def test_best_and_final_validation(tmp_path):
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


def test_a_config_that_cannot_be_read(tmp_path):
  chain = Chain("mini", tmp_path)
  (tmp_path / checkpoint.CONFIG_FILE).write_text("{")
  found = report_runs.describe(chain, "A-256", 0, tmp_path)
  assert found["config"] == {}
  assert found["changes"] == []


def test_the_command_of_a_run_to_come(tmp_path):
  chain = Chain("mini", tmp_path, ("--config.dataset.source=folder:/a/b",))
  [found] = [r for r in report_runs.collect(chain, [3]) if r["run"] == "A-256"]
  assert shlex.split(found["command"].replace("\\\n", ""))[3:-1] == [
    "--config=configs/classification.py:A-256,mini",
    "--config.seed=3",
    "--config.dataset.source=folder:…/b",
  ]
