"""Which runs a run needs, and how far each is."""

import json

import pytest
import tiny_runs
from tiny_runs import SETTINGS

from experiments import train_all
from experiments.chain import Chain, progress, with_sources
from vggjax.configs.classification import RUNS
from vggjax.errors import InputError
from vggjax.train import loop


def test_sources_come_first_and_once():
  assert with_sources(["D-384"]) == ["A-256", "D-256", "D-384"]
  assert with_sources(["E-256", "D-256-512", "C-256", "D-256"]) == [
    *("A-256", "C-256", "D-256", "D-384", "D-256-512", "E-256"),
  ]
  assert with_sources(["B-shallow-256"]) == ["B-shallow-256"]
  assert with_sources(list(RUNS)[::-1]) == list(RUNS)
  with pytest.raises(InputError, match=r"'D-512' is not one of A-256, A-LRN"):
    with_sources(["A-256", "D-512"])


def test_how_far_a_run_is(tmp_path, monkeypatch):
  """Its length is in epochs of one step: 16 images in batches of 16."""
  tiny_runs.photo_folder(tmp_path / "photos")

  def chain(epochs, *more):
    source = f"--config.dataset.source=folder:{tmp_path / 'photos'}"
    length = "--config.num_steps=0", f"--config.num_epochs={epochs}"
    return Chain(
      "mini", tmp_path / "runs", (source, *SETTINGS[1:], *length, *more)
    )

  def state(*arguments):
    found = progress(chain(*arguments), "A-256", 0)
    return found.state, found.text

  assert state(2) == ("not started", "not started")
  monkeypatch.setattr(loop, "train", tiny_runs.save_changed)
  with tiny_runs.in_process():
    assert train_all.train(chain(2), [("A-256", 0)]) == 0
  assert state(2) == ("finished", "finished, 2 steps")
  assert state(1) == ("finished", "finished, 2 steps")
  assert state(5) == ("stopped", "stopped at step 2 of 5")
  # A longer run that was killed before its first checkpoint.
  path = chain(5).workdir("A-256", 0) / "config.json"
  saved = json.loads(path.read_text())
  path.write_text(json.dumps({**saved, "num_epochs": 5}))
  assert state(5) == ("stopped", "stopped at step 2 of 5")
  assert state(2, "--config.seed=7")[0] == "another config"
  assert state(2, "--config.log_every=7")[0] == "finished"
  for broken in ("{", ""):
    path.write_text(broken)
    with pytest.raises(InputError, match="is not a run's config"):
      state(2)


def test_the_seeds_that_are_there(tmp_path):
  for name in ("seed-10", "seed-2", "seed-x", "seeds", "D-256"):
    (tmp_path / name).mkdir()
  assert Chain("mini", tmp_path).seeds() == [2, 10]
  assert Chain("mini", tmp_path / "none").seeds() == []
