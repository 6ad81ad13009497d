"""Four tiny runs with posteriors of known error, and commands on copies."""

import shutil

import jax
import known_posteriors
import numpy as np
import pytest
from known_posteriors import wrong
from tiny_runs import cells_of, copy_runs, options, read_result, run_module

from vggjax import checkpoint
from vggjax.tasks import posteriors as tasks

RUNS = ["A-256", "B-256", "D-256-512", "E-256-512"]
JITTERED = (256, 384, 512)


@pytest.fixture(scope="module")
def stored(trained, tmp_path_factory):
  """Four runs with the known posteriors; tests work on copies."""
  folder = tmp_path_factory.mktemp("stored")
  runs = copy_runs(trained, folder, RUNS)
  known_posteriors.put(runs)
  return runs


@pytest.fixture
def table(stored, tmp_path, capsys):
  """Runs an experiment on a copy: status, lines of stderr, cells of rows."""
  runs = shutil.copytree(stored, tmp_path / "runs")
  results = tmp_path / "results"

  def call(name, *more, compute=False, folder=runs):
    shutil.rmtree(results, ignore_errors=True)
    arguments = options(folder, results, *more)
    status = run_module(
      name, *arguments, *([] if compute else ["--no_compute"])
    )
    err = capsys.readouterr().err.splitlines()
    rows = None
    if status == 0 and (results / "mini" / "photos" / f"{name}.md").exists():
      rows = cells_of(read_result(results, name)[1])
    else:
      assert not list(results.rglob("*.json"))
    return status, err, rows

  call.runs, call.results = runs, results
  return call


@pytest.fixture
def computed(monkeypatch):
  """What is computed, by a stand-in that gets all images wrong but one."""
  calls = []

  def compute(config, network, source, part, rows):
    calls.append((network.workdir.name, part, tuple(rows), config))
    values = np.eye(8, dtype=np.float32)[(source.labels() + 1) % 8]
    values[0] = np.eye(8)[source.labels()[0]]
    for target in rows.values():
      target.put(list(range(len(values))), values)

  monkeypatch.setattr(tasks, "compute", compute)
  return calls


def save_step(workdir, step, num_steps, factor=1.0):
  """A further checkpoint of a run, and how long the run is to be."""
  params, card, _ = checkpoint.load_run(workdir)
  params = jax.tree.map(lambda a: a * np.float32(factor), params)
  with checkpoint.Checkpoints(workdir) as checkpoints:
    card = {**card, "num_steps": num_steps}
    checkpoints.save(step, params, {"step": np.array(step)}, card)


def error_of(run, scales=(256,), protocol="dense", seed=0, k=1):
  return f"{wrong([(run, scales, protocol)], seed, k).mean():.2f}"


def shown(rows, *labels):
  """Our top-1 error of a row, without its interval."""
  [cells] = [cells for cells in rows if tuple(cells[: len(labels)]) == labels]
  return cells[len(cells) - 3].partition(" [")[0]
