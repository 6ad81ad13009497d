"""All runs, tiny, and the experiments' commands on them."""

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import train_all
from vggjax import checkpoint, main
from vggjax.models import parameters
from vggjax.tasks import networks
from vggjax.train import loop, optim

NUM_CLASSES, NUM_TESTED = 8, 96
SETTINGS = (
  "--profile=mini",
  *(
    f"--config.{setting}"
    for setting in (
      "width=0.0625",
      "crop_size=32",
      "batch_size=16",
      "boundaries=()",
      "learning_rate=0.01",
      "dataset.validation_split=",
      "num_devices=1",
      "progress=False",
      "pictures=False",
    )
  ),
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
  """A folder with photos/ and runs/, all of them finished; only to copy.

  What is saved is what a training starts from, changed by the run's layers
  alone. Several processes of one test session share the folder.
  """
  root = tmp_path_factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    root = root.parent
  folder = root / "tiny_runs"
  with (root / "tiny_runs.lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (folder / "done").exists():
      photo_folder(folder / "photos")
      with in_process() as patch:
        patch.setattr(loop, "train", save_changed)
        everything = "--only=classification,localization"
        assert train(folder, everything, "--config.num_steps=1") == 0
      (folder / "done").touch()
  return folder


def photo_folder(root):
  """Noise of one size, 16 images to train and 96 to test with; boxes.csv.

  Every box is in the left half of its image.
  """
  random = np.random.default_rng(3)
  rows = ["file,xmin,ymin,xmax,ymax"]
  for split, count in (("train", 16), ("test", NUM_TESTED)):
    for i in range(count):
      path = root / split / f"class{i % NUM_CLASSES}" / f"{i:02}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(random.integers(0, 256, (36, 36, 3), np.uint8)).save(path)
      left, top = i % 5, i % 11
      right, bottom = 12 + i % 6, 20 + i % 13
      name = path.relative_to(root).as_posix()
      rows.append(f"{name},{left},{top},{right - 1},{bottom - 1}")
  (root / "boxes.csv").write_text("\n".join(rows) + "\n")


def labels():
  """Of the test images, in the order of their paths: class0/00, class0/08."""
  return np.repeat(np.arange(NUM_CLASSES), NUM_TESTED // NUM_CLASSES)


def train(folder, *more):
  """The status of train_all on a folder's photos."""
  source = f"--source=folder:{folder / 'photos'}"
  return train_all.main([*SETTINGS, source, f"--runs={folder / 'runs'}", *more])


@contextlib.contextmanager
def in_process():
  """Lets train_all train in this process; a network is compiled once."""

  def run(command, check):
    assert command[:3] == [sys.executable, "-m", "vggjax.main"]
    return SimpleNamespace(returncode=main.main(command[3:]))

  def rate_alone(rate, boundaries):
    assert boundaries == ()
    return rate

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(train_all, "subprocess", SimpleNamespace(run=run))
    patch.setattr(parameters, "init_params", quick_params)
    patch.setattr(optim, "sgd", cached_sgd)
    patch.setattr(optim, "fixed_schedule", rate_alone)
    jax.config.update("jax_disable_most_optimizations", True)
    try:
      yield patch
    finally:
      jax.config.update("jax_disable_most_optimizations", False)


cached_sgd = functools.cache(optim.sgd)


def quick_params(model, _):
  """Random parameters that no program is compiled for."""
  random = np.random.default_rng(1)
  return jax.tree.map(
    lambda a: random.normal(0, 0.05, a.shape).astype(np.float32),
    parameters.param_shapes(model),
  )


def save_changed(state, *, plan, checkpoints, card, **_):
  """In place of the training loop."""
  for name in state.trained_layers:
    changed = jax.tree.map(lambda a: a * 1.1, state.params[name])
    state = state.replace(params={**state.params, name: changed})
  state = state.replace(step=np.int32(plan.num_steps))
  loop.save(checkpoints, state, card)
  return state


def copy_runs(trained, folder, runs=None, seeds=(0,)):
  """Copies runs, or all of them, for each seed; returns their folder."""

  def copy(source, target):
    # Checkpoints are never changed in place.
    link = "checkpoints" in Path(source).parts
    (os.link if link else shutil.copy2)(source, target)

  for seed in seeds:
    for run in runs or os.listdir(trained / "runs" / "seed-0"):
      shutil.copytree(
        trained / "runs" / "seed-0" / run,
        folder / "runs" / f"seed-{seed}" / run,
        copy_function=copy,
        ignore=shutil.ignore_patterns("posteriors", "tensorboard"),
      )
  return folder / "runs"


def read_once(monkeypatch):
  """Reads a run's checkpoint once for all; those of all seeds are equal."""
  load, cards, loaded = networks.load_network, {}, {}
  latest = checkpoint.latest_card

  def load_network(config, workdir):
    if workdir.name not in loaded:
      loaded[workdir.name] = load(config, workdir)
    return dataclasses.replace(loaded[workdir.name], workdir=workdir)

  def latest_card(workdir):
    if workdir not in cards:
      cards[workdir] = latest(workdir)
    return cards[workdir]

  monkeypatch.setattr(networks, "load_network", load_network)
  monkeypatch.setattr(checkpoint, "latest_card", latest_card)


def run_module(name, *arguments):
  """The exit status of `python -m experiments.NAME ARGUMENTS`."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "argv", [name, *map(str, arguments)])
    patch.delitem(sys.modules, f"experiments.{name}", raising=False)
    with pytest.raises(SystemExit) as stopped:
      runpy.run_module(f"experiments.{name}", run_name="__main__")
  return stopped.value.code


def results_of(known, tmp_path_factory):
  """A function: the JSON and the Markdown of a driver of known runs."""

  @functools.cache
  def run(name):
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
      read_once(patch)
      assert run_module(name, *options(known, folder, "--no_compute")) == 0
    return read_result(folder, name)

  return run


def options(runs, results, *more):
  """The options that every table needs."""
  return "--profile=mini", f"--runs={runs}", f"--results={results}", *more


def read_result(results, name):
  """The JSON of a result, and its Markdown."""
  path = results / "mini" / "photos" / f"{name}.json"
  return json.loads(path.read_text()), path.with_suffix(".md").read_text()


def cells_of(markdown):
  """The cells of a Markdown table's rows, without its head."""
  lines = [line for line in markdown.splitlines() if line.startswith("|")]
  rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
  assert rows[1] == ["---"] * len(rows[0])
  return rows[2:]
