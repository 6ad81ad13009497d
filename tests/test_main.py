"""The command line end to end: train, be killed, go on, evaluate."""

import errno
import json
import os
import shutil
import sys
import weakref
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

import vggjax
from vggjax import checkpoint, cli, files, images, main
from vggjax.config import parse_arguments
from vggjax.evaluate import store
from vggjax.models import create, vgg
from vggjax.tasks import train, workdirs
from vggjax.train import log

OVERRIDES = (
  "--config.width=0.0625",
  "--config.crop_size=32",
  "--config.batch_size=16",
  "--config.schedule=plateau",
  "--config.num_epochs=3",
  "--config.num_steps=0",
  "--config.log_every=1",
  "--config.checkpoint_every=1",
  "--config.progress=False",
)


def arguments(task, photos, workdir, *more):
  """A tiny run: 3 epochs of 3 steps."""
  config = {"train": "classification", "evaluate": "evaluation"}[task]
  return [
    f"--config=configs/{config}.py:A-256,mini",
    f"--config.dataset.source=folder:{photos}",
    *OVERRIDES,
    "--config.train_scale=(32,40)",
    *more,
    f"--workdir={workdir}",
  ]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
  return tiny.photo_folder(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
  """A finished run on 8 devices."""
  workdir = tmp_path_factory.mktemp("runs") / "A-256"
  assert main.main(arguments("train", photos, workdir)) == 0
  return workdir


def test_training_leaves_what_a_user_expects(trained):
  records = log.read_metrics(trained)
  steps = [r["step"] for r in records if r["kind"] == "train"]
  assert steps == list(range(1, 10))
  assert [r["step"] for r in records if r["kind"] == "validation"] == [3, 6, 9]
  assert (trained / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
  saved = json.loads((trained / checkpoint.CONFIG_FILE).read_text())
  assert saved["network"] == "A"
  _, card, step = checkpoint.load_run(trained, "last")
  assert step == 9
  assert card["class_names"] == list(tiny.CLASSES)
  assert all(60 < value < 120 for value in card["mean"])


def test_a_finished_run_has_nothing_left_to_do(trained, photos, capsys):
  before = (trained / log.METRICS_FILE).read_bytes()
  assert main.main(arguments("train", photos, trained)) == 0
  assert (trained / log.METRICS_FILE).read_bytes() == before
  out, err = capsys.readouterr()
  assert "goes on from step 9 of 9" in err
  assert out.startswith(f"finished {trained}: center-crop top-1 error")


def test_no_copy_of_the_first_state_is_kept(photos, tmp_path, monkeypatch):
  first, kept = [], []

  def agree(state):
    first.extend(map(weakref.ref, jax.tree.leaves(state.params)))

  def save(checkpoints, *_):
    kept.append(sum(ref() is not None for ref in first))

  monkeypatch.setattr(train.processes, "agree_on_state", agree)
  monkeypatch.setattr(train.loop, "save", save)
  task = arguments("train", photos, tmp_path, "--config.pictures=False")
  assert main.main(task) == 0
  assert len(first) > 10
  assert kept[0] == 0


@pytest.mark.usefixtures("quick_compile")
def test_evaluation_equals_the_library_and_is_kept(trained, photos, capsys):
  command = arguments(
    "evaluate",
    photos,
    trained,
    "--config.split=test",
    "--config.test_scales=(32,36,40)",
  )
  assert main.main(command) == 0
  out = capsys.readouterr().out.splitlines()
  paths = {q: store.path_of(trained, "test", "dense", q) for q in (32, 36, 40)}
  arrays = {}
  for q, path in paths.items():
    with np.load(path) as file:
      arrays[q] = file["posteriors"]
      labels, ids = file["labels"], file["ids"]
  assert len(ids) == 21

  params, card, _ = checkpoint.load_run(trained)
  model = create.create_model(
    "A", num_outputs=3, width=1 / 16, crop_size=32, pool=card["pool"]
  )
  files = sorted((photos / "test").rglob("*.jpg"))
  found = vggjax.dense_posteriors(model, params, files, 36, mean=card["mean"])
  np.testing.assert_allclose(found, arrays[36], atol=1e-4)
  mean = np.mean(list(arrays.values()), axis=0)
  error = 100 * np.mean(mean.argmax(axis=1) != labels)
  assert out[-1] == f"top-1 error {error:.2f} %, top-5 error 0.00 %"
  assert [line.split()[0] for line in out[2:6]] == [
    "32",
    "36",
    "40",
    "32,36,40",
  ]

  written = {q: path.stat().st_mtime_ns for q, path in paths.items()}
  assert main.main(command) == 0
  assert capsys.readouterr().out.splitlines() == out
  assert {q: p.stat().st_mtime_ns for q, p in paths.items()} == written
  assert (trained / "predictions.png").exists()
  assert images.decode(trained / "predictions.png").shape[2] == 3


@pytest.mark.usefixtures("quick_compile")
def test_a_retrained_run_is_evaluated_anew(trained, photos, capsys):
  path = store.path_of(trained, "test", "dense", 36)
  base = arguments("evaluate", photos, trained, "--config.split=test")
  first = [*base, "--config.test_scales=(36,)", "--config.pictures=False"]
  assert main.main(first) == 0
  before = path.stat().st_mtime_ns
  oldest = next(s for s in saved_steps(trained) if s != best_step(trained))
  assert main.main([*first, f"--config.checkpoint={oldest}"]) == 0
  assert path.stat().st_mtime_ns != before


def saved_steps(workdir):
  with checkpoint.Checkpoints(workdir, read_only=True) as checkpoints:
    return checkpoints.steps()


def best_step(workdir):
  return checkpoint.load_run(workdir)[2]


def test_warm_start_and_fine_tuning_take_the_named_layers(
  trained, photos, capsys
):
  source, _, _ = checkpoint.load_run(trained)
  config, workdir = parse_arguments(
    [
      "--config=configs/classification.py:D-256,mini",
      *arguments("train", photos, trained.parent / "D-256")[1:],
    ]
  )
  card = checkpoint.load_run(trained)[1]
  weights = train.load_initial(config, Path(workdir))
  state = train.create_state(config, {**card, "network": "D"}, weights)
  for name, layer in state.params.items():
    is_copied = name in ("conv1_1", "conv2_1", "conv3_1", "conv3_2")
    is_copied |= name in vgg.FC_LAYERS
    same = name in source and np.array_equal(
      layer["kernel"], source[name]["kernel"]
    )
    assert same == is_copied
  assert "layers 'paper' come from" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("task", "more", "message"),
  [
    ("train", ["--config.seed=1"], "another config: seed 0 there, 1 here"),
    ("train", ["--config.num_devices=9"], "num_devices is 9, but 8 are here"),
    ("train", ["--config.num_steps=5"], "num_epochs is 3 and num_steps is 5"),
    ("train", ["--config.num_epochs=0"], "num_epochs is 0 and num_steps is 0"),
    ("train", ["--config.batch_size=20"], "batch_size is 20; it must be a mul"),
    ("evaluate", ["--config.width=0.125"], "network has width 0.0625"),
    ("evaluate", ["--config.split=nope"], "nope"),
    ("evaluate", ["--config.checkpoint=77"], "'77' is not best, last or one"),
    ("evaluate", ["--config.protocol=crops"], "protocol is 'crops'; it must"),
    ("evaluate", ["--config.test_batch_size=3"], "multiple of the 8 devices"),
  ],
)
def test_bad_input_gives_one_line(trained, photos, capsys, task, more, message):
  assert main.main(arguments(task, photos, trained, *more)) == main.BAD_INPUT
  err = capsys.readouterr().err
  assert message in err
  assert err.startswith("vggjax: ")
  assert len(err.splitlines()) == 1


def test_a_second_training_is_refused_and_evaluation_is_not(
  trained, photos, capsys
):
  with files.locked(trained / workdirs.LOCK_FILE):
    assert main.main(arguments("train", photos, trained)) == main.BAD_INPUT
    [line] = capsys.readouterr().err.splitlines()
    assert f"another training runs in {trained} (process {os.getpid()}" in line
    evaluation = arguments("evaluate", photos, trained, "--config.split=nope")
    assert main.main(evaluation) == main.BAD_INPUT
    assert "nope" in capsys.readouterr().err


def test_a_missing_source_run_is_named(photos, tmp_path, capsys):
  command = arguments("train", photos, tmp_path / "D-256")
  command[0] = "--config=configs/classification.py:D-256,mini"
  assert main.main(command) == main.BAD_INPUT
  assert f"{tmp_path}/A-256 holds no training run" in capsys.readouterr().err
  # Nothing was trained, so the folder may be used with the key mended.
  config, workdir = parse_arguments(
    [*command[:-1], "--config.init_from=", command[-1]]
  )
  train.claim_workdir(config, Path(workdir))


def test_a_workdir_that_cannot_be_used_is_named(photos, tmp_path, capsys):
  (tmp_path / "file").write_text("")
  command = arguments("train", photos, tmp_path / "file" / "run")
  assert main.main(command) == main.BAD_INPUT
  err = capsys.readouterr().err
  assert f"workdir {tmp_path}/file/run cannot be used: Not a directory" in err


def test_a_run_does_not_go_on_with_other_images(trained, tmp_path, capsys):
  photos = tiny.photo_folder(tmp_path / "photos", train=17)
  command = arguments("train", photos, shutil.copytree(trained, tmp_path / "r"))
  saved = tmp_path / "r" / checkpoint.CONFIG_FILE
  source = json.loads((trained / checkpoint.CONFIG_FILE).read_text())["dataset"]
  text = saved.read_text().replace(source["source"], f"folder:{photos}")
  saved.write_text(text)
  assert main.main(command) == main.BAD_INPUT
  assert "images of the training set are not those" in capsys.readouterr().err
  saved.write_text(text[:-20])
  assert main.main(command) == main.BAD_INPUT
  assert f"{saved} is damaged" in capsys.readouterr().err


def test_a_damaged_newest_checkpoint_is_passed_over(
  trained, photos, tmp_path, capsys
):
  workdir = shutil.copytree(trained, tmp_path / "r")
  final = checkpoint.load_run(trained, "last")[0]
  newest = max(saved_steps(workdir))
  for path in (workdir / checkpoint.FOLDER / str(newest)).rglob("*"):
    if path.is_file():
      path.write_bytes(path.read_bytes()[:-1])
  command = arguments("evaluate", photos, workdir, "--config.checkpoint=last")
  assert main.main(command) == main.BAD_INPUT
  [line] = capsys.readouterr().err.splitlines()
  assert f"checkpoints/{newest} is damaged" in line
  assert main.main(arguments("train", photos, workdir)) == 0
  err = capsys.readouterr().err
  assert f"checkpoints/{newest} is damaged" in err
  assert "it is set aside, and the one before it is used" in err
  assert "Traceback" not in err
  tiny.assert_identical(checkpoint.load_run(workdir, "last")[0], final)


def test_what_cannot_be_stored_has_a_status_of_its_own(
  trained, photos, tmp_path, capsys, monkeypatch
):
  def fail(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", "the/file")

  command = arguments("train", photos, trained)
  monkeypatch.setattr(train, "train_on", fail)
  assert main.main(command) == main.CANNOT_STORE
  err = capsys.readouterr().err
  assert err == "vggjax: the/file: No space left on device\n"

  command[-1] = "--workdir=s3://bucket/run"
  assert main.main(command) == main.BAD_INPUT
  assert "s3://bucket/run is neither a path nor" in capsys.readouterr().err


def test_threads_of_a_save_that_is_given_up_are_not_heard(monkeypatch):
  class Complaint:
    def __init__(self, text):
      self.text = text

    def __del__(self):
      raise RuntimeError(self.text)

  def run(*_):
    for text in ("Event loop is closed", "something else"):
      Complaint(text)

  heard = []
  monkeypatch.setattr(main, "run", run)
  monkeypatch.setattr(
    sys, "unraisablehook", lambda found: heard.append(str(found.exc_value))
  )
  assert main.main([]) == 0
  assert heard == ["something else"]


@pytest.mark.usefixtures("quick_compile")
def test_a_diverging_run_stops_with_one_line(photos, tmp_path, capsys):
  command = arguments(
    "train", photos, tmp_path / "run", "--config.learning_rate=1e6"
  )
  assert main.main(command) == main.DIVERGED
  last = capsys.readouterr().err.splitlines()[-1]
  assert "is nan" in last or "is inf" in last
  assert "lower learning_rate" in last


def test_the_command_has_help_version_networks_and_tasks(capsys):
  assert cli.run(["--help"]) == 0
  assert "vggjax train" in capsys.readouterr().out
  assert cli.run(["--version"]) == 0
  assert capsys.readouterr().out == f"vggjax {vggjax.__version__}\n"
  assert cli.run(["networks"]) == 0
  assert "138,357,544" in capsys.readouterr().out
  assert cli.run(["trian"]) == main.BAD_INPUT
  assert "invalid choice: 'trian'" in capsys.readouterr().err
  evaluation = ["--config=evaluation.py:A-256", "--workdir=x"]
  assert cli.run(["train", *evaluation]) == main.BAD_INPUT
  assert "task is evaluate, not train" in capsys.readouterr().err
