"""Tables of runs without posteriors: each array is computed, once."""

import shutil

import known_posteriors
import numpy as np
import paper_tables
import pytest
from known_posteriors import PIXELS, wrong
from tiny_runs import (
  NUM_TESTED,
  copy_runs,
  labels,
  options,
  read_once,
  read_result,
  run_module,
)
from tiny_runs import trained as trained

from vggjax.evaluate import store
from vggjax.tasks import posteriors as tasks

DRIVERS = (*paper_tables.ROWS, "findings")


def test_all_from_nothing_computes_each_array_once(
  trained, tmp_path, monkeypatch
):
  """All drivers in turn, each where only training has been."""
  runs = copy_runs(trained, tmp_path)
  read_once(monkeypatch)
  computed = []

  def compute(config, network, source, part, rows):
    assert network.params
    assert (source.split, source.num_examples) == ("test", NUM_TESTED)
    for pixels, target in rows.items():
      [q] = [q for q in PIXELS if PIXELS[q] == pixels]
      name = network.workdir.name, part, q
      computed.append(name)
      target.put(list(range(NUM_TESTED)), known_posteriors.arrays(0)[name][0])

  monkeypatch.setattr(tasks, "compute", compute)
  for name in DRIVERS:
    assert run_module(name, *options(runs, tmp_path / "results")) == 0
    result, _ = read_result(tmp_path / "results", name)
    assert result["seeds"] == [0]
    if name == "findings":
      continue
    for row, (*_, tests) in zip(
      result["rows"], paper_tables.ROWS[name], strict=True
    ):
      if tests:
        cells = row["ours"]
        found = [cells[0]["value"], cells[1]["value"]]
        wanted = [wrong(tests, 0, k).mean() for k in (1, 5)]
        assert found == pytest.approx(wanted)
        assert cells[0]["spread"] is None
        assert "±" not in cells[0]["text"]
  assert sorted(computed) == paper_tables.arrays()


@pytest.mark.usefixtures("quick_compile")
def test_a_table_of_what_the_networks_say(trained, tmp_path):
  """Nothing stands in for the networks here."""
  networks = [run for _, _, [(run, *_)] in paper_tables.ROWS["shallow"]]
  runs = copy_runs(trained, tmp_path, networks)
  photos = trained / "photos"
  small = tmp_path / "photos"
  for path in photos.glob("*/*/0?.png"):
    target = small / path.relative_to(photos)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
  source = f"--source=folder:{small}"
  assert run_module("shallow", *options(runs, tmp_path, source)) == 0
  result, _ = read_result(tmp_path, "shallow")
  values = []
  for row, run in zip(result["rows"], networks, strict=True):
    path = store.path_of(runs / "seed-0" / run, "test", "center", PIXELS[256])
    with np.load(path) as file:
      posteriors, truth = file["posteriors"], file["labels"]
    assert posteriors.shape == (len(truth), 8)
    assert set(truth) <= set(labels())
    np.testing.assert_allclose(posteriors.sum(axis=1), 1, atol=1e-5)
    error = 100 * np.mean(posteriors.argmax(axis=1) != truth)
    assert row["ours"][0]["value"] == pytest.approx(error)
    values.append(posteriors)
  assert np.abs(values[0] - values[1]).max() > 1e-4
