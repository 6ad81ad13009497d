"""Two processes of two CPU devices each do what one process of four does."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny

from vggjax import checkpoint, main, membership
from vggjax.config import parse_arguments
from vggjax.evaluate import store
from vggjax.tasks import train
from vggjax.train import log, loop, optim

EPOCHS, STEPS_PER_EPOCH = 3, 3


def arguments(task, photos, workdir, *more):
  """A tiny run; an unreadable image is left out."""
  config = {"train": "classification", "evaluate": "evaluation"}[task]
  settings = (
    "width=0.0625",
    "crop_size=32",
    "train_scale=(32,40)",
    "batch_size=8",
    "schedule=plateau",
    f"num_epochs={EPOCHS}",
    "num_steps=0",
    "log_every=1",
    "checkpoint_every=1",
    "progress=False",
    "pictures=False",
    "dataset.on_error=skip",
    *more,
  )
  return [
    f"--config=configs/{config}.py:A-256,mini",
    f"--config.dataset.source=folder:{photos}",
    *(f"--config.{setting}" for setting in settings),
    f"--workdir={workdir}",
  ]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
  root = tiny.photo_folder(
    tmp_path_factory.mktemp("photos"), train=9, validation=3, test=5
  )
  # Of an odd index, so that the second process meets it.
  (root / "train" / "blue" / "001.jpg").write_bytes(b"\xff\xd8 no image")
  return root


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
  """Of processes that keep what they compute apart from this one."""
  cache = tmp_path_factory.mktemp("cache")
  return {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "VGGJAX_CACHE": str(cache),
    "JAX_ENABLE_COMPILATION_CACHE": "true",
    "JAX_COMPILATION_CACHE_DIR": str(cache / "programs"),
  }


@contextlib.contextmanager
def launched(environment, log_path, *task):
  """The launcher with two processes; its messages go to a file."""
  with Path(log_path).open("w") as messages:
    process = subprocess.Popen(
      [
        *(sys.executable, "-m", "vggjax.cli", "launch"),
        *("--processes=2", "--devices_per_process=2", "--", *task),
      ],
      env=environment,
      stdout=messages,
      stderr=messages,
    )
    try:
      yield process
    finally:
      process.terminate()
      process.wait(60)


def launch(environment, log_path, *task):
  """The launcher's status and messages."""
  with launched(environment, log_path, *task) as process:
    status = process.wait(300)
  return status, Path(log_path).read_text()


def in_process(capsys, *task):
  """One process of four devices; its messages."""
  assert main.main([*task, "--config.num_devices=4"]) == 0
  return capsys.readouterr().err


def process_of(launcher, index):
  """The id of one of the launcher's processes."""
  for path in Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(OSError):
      parent = path.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
      words = path.joinpath("cmdline").read_bytes().decode().split("\0")
      if int(parent) == launcher.pid and f"--process_id={index}" in words:
        return int(path.name)
  return None


def final_state(photos, workdir):
  config, _ = parse_arguments(arguments("train", photos, workdir))
  card = checkpoint.load_run(workdir)[1]
  state = train.create_state(config, card, None)
  with checkpoint.Checkpoints(workdir, read_only=True) as checkpoints:
    return loop.restore(checkpoints, state, checkpoints.steps()[-1]), card


@pytest.fixture(scope="module")
def runs(photos, environment, tmp_path_factory):
  """A run by one process, and one by two, one and two, the first killed."""
  root = tmp_path_factory.mktemp("runs")
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("VGGJAX_CACHE", str(root / "cache"))
    patch.setattr(optim, "sgd", tiny_sgd)
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    one = ["--config.num_devices=4"]
    try:
      assert main.main([*arguments("train", photos, root / "one"), *one]) == 0
      killed = kill_second(environment, photos, root)
      more = arguments("train", photos, root / "both", "num_epochs=2")
      assert main.main([*more, *one]) == 0
    finally:
      jax.config.update("jax_disable_most_optimizations", False)
  task = arguments("train", photos, root / "both")
  status, messages = launch(environment, root / "last.log", "train", *task)
  assert status == 0, messages
  return root, killed, messages


_optimizers = {}


def tiny_sgd(rate, **options):
  """One object for equal optimizers, so that a step is compiled once."""
  key = rate, tuple(options.items())
  if key not in _optimizers:
    _optimizers[key] = SGD(rate, **options)
  return _optimizers[key]


SGD = optim.sgd


def kill_second(environment, photos, root):
  """Kills process 1 after a step; the status, messages and seconds."""
  task = arguments("train", photos, root / "both", "num_epochs=300")
  path = root / "killed.log"
  with launched(environment, path, "train", *task) as launcher:
    folder = root / "both" / checkpoint.FOLDER
    end = time.monotonic() + 240
    while not (folder / "2").exists():
      assert launcher.poll() is None, path.read_text()
      assert time.monotonic() < end, path.read_text()
      time.sleep(0.001)
    os.kill(process_of(launcher, 1), signal.SIGKILL)
    begin = time.monotonic()
    status = launcher.wait(60)
  # So that what follows has steps left to do.
  for saved in folder.glob("[0-9]*"):
    if not saved.name.isdigit() or int(saved.name) > 2:
      shutil.rmtree(saved)
  return status, path.read_text(), time.monotonic() - begin


def test_one_lost_ends_the_other_with_a_line(runs):
  status, messages, seconds = runs[1]
  assert status == membership.LOST
  assert "vggjax: process 1 of 2 was lost; the same command" in messages
  assert messages.splitlines()[-1] == (
    "vggjax: process 1 of 2 was killed by SIGKILL, and the others were stopped"
  )
  assert seconds < 60


def test_the_same_parameters_on_every_topology(runs, photos):
  root, _, messages = runs
  wanted, wanted_card = final_state(photos, root / "one")
  found, card = final_state(photos, root / "both")
  assert int(found.step) == EPOCHS * STEPS_PER_EPOCH
  tiny.assert_close(found.params, wanted.params, 1e-4)
  tiny.assert_close(found.opt_state, wanted.opt_state, 1e-3)
  # The statistics of the shares add up to the same bits.
  assert card["mean"] == wanted_card["mean"]
  assert card["data"] == wanted_card["data"]
  assert "saved with 1 process, 4 devices, goes on with 2 processes, 4" in (
    messages
  )
  assert messages.count("1 unreadable images of train are left out") == 1


def test_metrics_stand_once(runs):
  one, both = (log.read_metrics(runs[0] / name) for name in ("one", "both"))
  assert [(r["kind"], r["step"]) for r in both] == [
    (r["kind"], r["step"]) for r in one
  ]
  for found, wanted in zip(both, one, strict=True):
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-3)


@pytest.mark.usefixtures("quick_compile")
def test_evaluation_counts_every_image_once(
  runs, photos, environment, capsys, tmp_path
):
  more = ("split=test", "protocol=both", "test_scales=(32,36)")
  workdirs = [tmp_path / "one", tmp_path / "two"]
  for workdir in workdirs:
    shutil.copytree(runs[0] / "one", workdir)
  one, two = (
    arguments("evaluate", photos, workdir, *more) for workdir in workdirs
  )
  assert main.main([*one, "--config.num_devices=1"]) == 0
  printed = capsys.readouterr().out
  status, messages = launch(environment, tmp_path / "log", "evaluate", *two)
  assert status == 0, messages
  assert printed.splitlines()[-1] in messages
  assert "30 images in " in messages
  for part in ("dense", "multicrop"):
    for scale in (32, 36):
      found, wanted = (
        np.load(store.path_of(workdir, "test", part, scale))
        for workdir in reversed(workdirs)
      )
      assert len(found["ids"]) == 15
      for name in ("ids", "labels", "about"):
        np.testing.assert_array_equal(found[name], wanted[name])
      assert found["posteriors"].dtype == np.float32
      np.testing.assert_allclose(
        found["posteriors"], wanted["posteriors"], atol=1e-6
      )
  names = {path.name for path in workdirs[1].rglob("*")}
  assert not [name for name in names if "partial" in name or "seen" in name]


def test_an_image_that_one_cannot_read_ends_all(environment, photos, tmp_path):
  task = arguments("train", photos, tmp_path / "run", "dataset.on_error=raise")
  status, messages = launch(environment, tmp_path / "log", "train", *task)
  assert status == main.BAD_INPUT
  assert "process 1: vggjax: folder:" in messages
  assert "cannot decode blue/001.jpg" in messages.replace("train/", "")
  assert "Traceback" not in messages


def test_processes_that_differ_are_refused(environment, photos, tmp_path):
  port = f"--coordinator=127.0.0.1:{free_port()}"
  processes = [
    subprocess.Popen(
      [
        *(sys.executable, "-m", "vggjax.main", port),
        *("--num_processes=2", f"--process_id={index}"),
        *arguments("train", photos, tmp_path / "run", f"batch_size={size}"),
      ],
      env=environment,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index, size in enumerate((8, 16))
  ]
  errors = [process.communicate(timeout=120)[1] for process in processes]
  assert [process.returncode for process in processes] == 2 * [main.BAD_INPUT]
  assert errors[0].splitlines()[-1] == (
    "vggjax: process 1 of 2 differs: batch_size 16 there, 8 in process 0; all "
    "need the same arguments and data"
  )
  assert "vggjax" not in errors[1]
  assert not (tmp_path / "run").exists()


def free_port():
  from vggjax.commands import launch as command

  return command.free_port()
