"""`vggjax check` on small folders, good and bad."""

import re

import numpy as np
import pytest
import tiny
import tiny_runs
from pictures import encode, picture

from vggjax import cli
from vggjax import config as configuration
from vggjax.configs import classification
from vggjax.data import survey
from vggjax.data.sources import open_source
from vggjax.models import parameters
from vggjax.tasks import check, check_cost, checklist

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(autouse=True)
def no_compiled_initialization(monkeypatch):
  monkeypatch.setattr(parameters, "init_params", tiny_runs.quick_params)


@pytest.fixture
def folder(tmp_path):
  return tiny.photo_folder(tmp_path / "photos", 8, 3, 3)


def run(folder, workdir, *more):
  return cli.run(
    [
      "check",
      "--config=classification.py:A-256,mini",
      f"--config.dataset.source=folder:{folder}",
      "--config.width=0.0625",
      "--config.crop_size=32",
      "--config.train_scale=(32,40)",
      "--config.batch_size=16",
      "--config.progress=False",
      "--config.num_devices=1",
      *more,
      f"--workdir={workdir}",
    ]
  )


def test_a_run_that_can_start(folder, tmp_path, capfd):
  workdir = tmp_path / "runs" / "A-256"
  assert run(folder, workdir, "--steps=2") == 0
  out = capfd.readouterr().out
  assert not workdir.exists()
  assert len(out.splitlines()) < 24
  assert "ok    devices     1 cpu, 16 images each" in out
  assert "train: 24 images of 3 classes, 8 of each" in out
  assert "ok    images      42 of 42 can be decoded" in out
  assert "ok    splits      no image stands in two of them" in out
  assert "2,400 steps of" in out
  assert out.rstrip().endswith("it can start")


def test_images_that_would_stop_a_run(folder, tmp_path, capfd, monkeypatch):
  first, second, third = sorted((folder / "train/red").iterdir())[:3]
  first.write_bytes(second.read_bytes()[:300])
  (folder / "test/red/x.jpg").write_bytes(third.read_bytes())
  scan = bytearray(encode(picture(90, 120), "JPEG"))
  scan[-300:-298] = b"\xff\xd9"
  second.write_bytes(scan)
  monkeypatch.setattr(check, "check_steps", lambda *_: None)
  assert run(folder, tmp_path / "run", "--steps=0") == 2
  out = capfd.readouterr().out
  assert "FAIL  images      42 of 43 can be decoded" in out
  assert f"train/red/{first.name}: " in out
  assert f"damaged scan: train/red/{second.name} (Corrupt JPEG" in out
  assert (
    f"train and test have 1 images in common: train/red/{third.name} = "
    "test/red/x.jpg" in out
  )
  assert "ok    disk" in out
  assert "would not run to its end: images" in out


@pytest.mark.parametrize(
  ("more", "message"),
  [
    (["--config.microbatches=3"], "FAIL  devices .* multiple of 3"),
    (["--config.batch_size=64"], "FAIL  data .* 24 images, fewer than"),
    (["--config.init_from=A-999"], "FAIL  start .*A-999"),
    (["--config.dataset.train_split=trian"], "FAIL  data .*trian"),
    (["--config.num_devices=9"], "FAIL  devices .* 8 are here"),
  ],
)
def test_what_would_stop_a_run(
  folder, tmp_path, capfd, monkeypatch, more, message
):
  monkeypatch.setattr(check, "check_steps", lambda *_: None)
  assert run(folder, tmp_path / "run", "--skip_images", *more) == 2
  out = capfd.readouterr().out
  assert any(re.search(message, line) for line in out.splitlines())
  assert "would not run to its end" in out


def test_too_little_disk_or_memory(folder, tmp_path, capfd, monkeypatch):
  usage = check_cost.shutil.disk_usage(tmp_path)._replace(free=1000)
  monkeypatch.setattr(check_cost.shutil, "disk_usage", lambda _: usage)
  monkeypatch.setattr(check_cost, "available_memory", lambda: 10**6)
  assert run(folder, tmp_path / "run", "--skip_images") == 2
  out = capfd.readouterr().out
  assert "FAIL  disk        4 checkpoints of" in out
  assert "FAIL  memory" in out
  assert "raise microbatches or lower batch_size" in out
  # What does not fit is not tried.
  assert "steps of" not in out


def test_another_runs_workdir(folder, tmp_path, capfd, monkeypatch):
  monkeypatch.setattr(check, "check_steps", lambda *_: None)
  workdir = tmp_path / "run"
  config = classification.get_config("A-256,mini")
  (workdir / "checkpoints" / "1").mkdir(parents=True)
  configuration.save_config(config, workdir / "config.json")
  assert run(folder, workdir, "--skip_images", "--steps=0") == 2
  out = capfd.readouterr().out
  assert "FAIL  workdir" in out
  assert "another config" in out


def test_bad_options(folder, tmp_path, capfd):
  assert run(folder, tmp_path / "run", "--steps=-1") == 2
  assert run(folder, tmp_path / "run", "--config.batchsize=3") == 2
  assert run(folder, tmp_path / "run", "--config.task=evaluate") == 2
  err = capfd.readouterr().err
  assert "did you mean batch_size?" in err
  assert "check is of train" in err
  assert "Traceback" not in err


def test_survey_counts_what_is_there_twice(folder):
  a, b = sorted((folder / "test/blue").iterdir())[:2]
  b.write_bytes(a.read_bytes())
  a.with_name("gone.jpg").symlink_to("nowhere")
  found = survey.survey(open_source(f"folder:{folder}", "test"))
  assert survey.num_repeated(found.digests) == 1
  assert [name for name, _ in found.unreadable] == ["test/blue/gone.jpg"]
  assert len(found.positions) == 1
  other = survey.survey(open_source(f"folder:{folder}", "validation"))
  assert survey.in_two_splits([found, other]) == {}


@pytest.mark.parametrize(
  ("seconds", "text"),
  [
    (0.4, "0 seconds"),
    (61, "1 minute 1 second"),
    (86400 * 21 + 7300, "21 days 2 hours"),
    (np.float64(59.6), "1 minute"),
  ],
)
def test_durations(seconds, text):
  assert checklist.duration(seconds) == text
