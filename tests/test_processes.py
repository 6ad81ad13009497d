"""Two processes of two CPU devices each do what one process of four does."""

import contextlib
import functools
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
  }


@contextlib.contextmanager
def launched(environment, log_path, *task):
  """The launcher with two processes; its messages go to a file."""
  with Path(log_path).open("w") as messages:
    process = subprocess.Popen(
      [
        *(sys.executable, "-m", "vggjax", "launch"),
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


def kill_second(environment, photos, workdir):
  """Kills process 1 after a step; the status, messages and seconds."""
  task = arguments("train", photos, workdir, "num_epochs=300")
  path = workdir.with_name("killed.log")
  with launched(environment, path, "train", *task) as launcher:
    folder = workdir / checkpoint.FOLDER
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


@pytest.mark.usefixtures("quick_compile")
def test_two_processes_do_what_one_does(
  photos, environment, tmp_path, monkeypatch, capsys
):
  """One test, as it is long: runs by one process, and by two, one and two."""
  monkeypatch.setenv("VGGJAX_CACHE", str(tmp_path / "cache"))
  monkeypatch.setattr(optim, "sgd", functools.cache(optim.sgd))
  one, both = tmp_path / "one", tmp_path / "both"
  alone = "num_devices=4"
  assert main.main(arguments("train", photos, one, alone)) == 0
  check_loss(*kill_second(environment, photos, both))
  more = arguments("train", photos, both, alone, "num_epochs=2")
  assert main.main(more) == 0
  assert "saved with 2 processes, 4 devices, goes on with 1 process, 4" in (
    capsys.readouterr().err
  )
  task = arguments("train", photos, both)
  status, messages = launch(environment, tmp_path / "log", "train", *task)
  assert status == 0, messages
  assert "saved with 1 process, 4 devices, goes on with 2 processes, 4" in (
    messages
  )
  assert messages.count("1 unreadable images of train are left out") == 1
  check_same_run(photos, both, one)
  check_evaluation(environment, photos, one, capsys)


def check_loss(status, messages, seconds):
  """One was lost: the other ended, and the last line says who."""
  assert status == membership.LOST
  assert messages.splitlines()[-1] == (
    "vggjax: process 1 of 2 was killed by SIGKILL, and the others were stopped"
  )
  assert seconds < 60


def check_same_run(photos, workdir, wanted_workdir):
  """Equal parameters and metrics, dropout and augmentation included."""
  wanted, wanted_card = final_state(photos, wanted_workdir)
  found, card = final_state(photos, workdir)
  assert int(found.step) == EPOCHS * STEPS_PER_EPOCH
  tiny.assert_close(found.params, wanted.params, 1e-4)
  tiny.assert_close(found.opt_state, wanted.opt_state, 1e-3)
  # The statistics of the shares add up to the same bits.
  assert card["mean"] == wanted_card["mean"]
  assert card["data"] == wanted_card["data"]
  records, wanted_records = map(log.read_metrics, (workdir, wanted_workdir))
  for record, wanted in zip(records, wanted_records, strict=True):
    assert (record["kind"], record["step"]) == (wanted["kind"], wanted["step"])
    assert record["loss"] == pytest.approx(wanted["loss"], rel=1e-3)


def check_evaluation(environment, photos, workdir, capsys):
  """Each image counts once, and what is stored is the same."""
  again = shutil.copytree(workdir, workdir.with_name("again"))
  more = ("split=test", "protocol=both", "test_scales=(36,)")
  task = arguments("evaluate", photos, workdir, *more, "num_devices=1")
  assert main.main(task) == 0
  printed = capsys.readouterr().out
  task = arguments("evaluate", photos, again, *more)
  log_path = workdir.with_name("evaluated.log")
  status, messages = launch(environment, log_path, "evaluate", *task)
  assert status == 0, messages
  assert printed.splitlines()[-1] in messages
  assert "15 images in " in messages
  for part in ("dense", "multicrop"):
    found, wanted = (
      np.load(store.path_of(folder, "test", part, 36))
      for folder in (again, workdir)
    )
    assert len(found["ids"]) == 15
    for name in ("ids", "labels", "about"):
      np.testing.assert_array_equal(found[name], wanted[name])
    assert found["posteriors"].dtype == np.float32
    np.testing.assert_allclose(
      found["posteriors"], wanted["posteriors"], atol=1e-6
    )
  names = [path.name for path in again.rglob("*")]
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
