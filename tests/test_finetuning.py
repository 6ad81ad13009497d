"""configs/finetuning.py: weights from anywhere, trained on other classes."""

import dataclasses
import os

import numpy as np
import pytest
import saved_run
import tiny
from PIL import Image

from vggjax import checkpoint, main
from vggjax.configs import finetuning
from vggjax.errors import InputError
from vggjax.tasks import run
from vggjax.weights.load import load_weights
from vggjax.weights.run_folder import load_run
from vggjax.weights.save import save_weights
from vggjax.weights.weights import Weights

pytestmark = pytest.mark.usefixtures("quick_compile")
CLASSES = ("square", "triangle")
MEAN = (10.0, 20.0, 30.0)


@pytest.fixture(scope="module")
def weights():
  """Of three classes, and of a mean that no photos have."""
  return Weights(
    "A", saved_run.random_params(4), MEAN, tiny.CLASSES, 1 / 16, 3, 32, "floor"
  )


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory):
  path = tmp_path_factory.mktemp("weights") / "a.safetensors"
  save_weights(path, weights)
  return path


@pytest.fixture(scope="module")
def album(tmp_path_factory):
  """Photos of two classes."""
  root = tmp_path_factory.mktemp("album")
  random = np.random.default_rng(0)
  for split in ("train", "validation"):
    for name in CLASSES:
      (root / split / name).mkdir(parents=True)
      for i in range(4):
        image = random.integers(0, 256, (40, 44, 3), np.uint8)
        Image.fromarray(image).save(root / split / name / f"{i}.png")
  return root


def command(album, workdir, source, *more):
  options = {
    "init_from": source,
    "dataset.source": f"folder:{album}",
    "width": 0.0625,
    "crop_size": 32,
    "train_scale": (32, 36),
    "batch_size": 8,
    "num_steps": 2,
    "boundaries": (),
    "log_every": 1,
    "progress": False,
    "pictures": False,
    "num_devices": 1,
  }
  return [
    "--config=configs/finetuning.py:A,mini",
    *(f"--config.{key}={value}" for key, value in options.items()),
    *more,
    f"--workdir={workdir}",
  ]


@pytest.mark.parametrize("layers", ["all", "fc"])
def test_the_body_and_the_mean_come_from_the_weights(
  file, weights, album, tmp_path, capsys, layers
):
  workdir = tmp_path / "run"
  more = (f"--config.train_layers={layers}", "--config.learning_rate=1e-5")
  assert main.main(command(album, workdir, file, *more)) == 0
  assert f"layers 'body' come from {file}\n" in capsys.readouterr().err
  tuned = load_run(workdir, "last")
  assert tuned.mean == MEAN
  assert tuned.class_names == CLASSES
  assert tuned.params["fc8"]["kernel"].shape[-1] == 2
  for name, layer in weights.params.items():
    if name == "fc8":
      continue
    moved = np.abs(tuned.params[name]["kernel"] - layer["kernel"]).max()
    if layers == "fc" and not name.startswith("fc"):
      assert moved == 0
    else:
      # Two small steps from the weights, and not from random ones.
      assert 0 < moved < 0.2 * np.abs(layer["kernel"]).max()


def test_it_goes_on_without_the_file(file, album, tmp_path, capsys):
  copy, workdir = tmp_path / "copy.safetensors", tmp_path / "run"
  copy.write_bytes(file.read_bytes())
  assert main.main(command(album, workdir, copy)) == 0
  os.remove(copy)
  more = command(album, workdir, copy, "--config.num_steps=3")
  assert main.main(more) == 0
  assert "goes on from step 2 of 3" in capsys.readouterr().err
  tuned = load_run(workdir, "last")
  assert (tuned.mean, tuned.card["step"]) == (MEAN, 3)


def test_of_a_feature_net(weights, album, tmp_path, capsys):
  params = {k: v for k, v in weights.params.items() if not k.startswith("fc")}
  features = dataclasses.replace(
    weights, params=params, num_outputs=0, class_names=(), pool="ceil"
  )
  path = tmp_path / "features.safetensors"
  save_weights(path, features)
  workdir = tmp_path / "run"
  convs = "--config.init_layers=convs"
  assert main.main(command(album, workdir, path, convs)) == 0
  err = capsys.readouterr().err
  assert "they are of a network with pool 'ceil'; this run's is 'floor'" in err
  body = command(album, tmp_path / "other", path)
  assert main.main(body) == main.BAD_INPUT
  assert "the source network has no layer fc6" in capsys.readouterr().err
  assert not checkpoint.has_checkpoints(tmp_path / "other")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"init_from": "absent.pth"}, "holds no training run"),
    ({"init_from": "./absent.pth"}, "absent.pth: no such file"),
    ({"init_from": "oxford:vgg11"}, "oxford:vgg11"),
    ({"init_layers": "some"}, "one of paper, all, body, convs"),
    ({"init_layers": "all"}, "layer fc8 is"),
    ({"width": 0.125}, "layer conv1_1 is"),
  ],
)
def test_bad_input(file, album, tmp_path, capsys, options, message):
  more = [f"--config.{key}={value}" for key, value in options.items()]
  assert main.main(command(album, tmp_path / "run", file, *more)) == 2
  [line] = capsys.readouterr().err.splitlines()[-1:]
  assert message in line


def test_where_a_source_is_looked_for(saved, file, tmp_path):
  beside = saved.parent / "new-run"
  for name in ("A-256", str(saved)):
    found, place = run.load_source(name, beside)
    assert place == str(saved)
    assert found.card["step"] == load_weights(saved).card["step"]
  assert run.load_source(str(file), beside)[0].mean == MEAN


def test_configs():
  config = finetuning.get_config("D")
  assert (config.network, config.width, config.crop_size) == ("D", 1.0, 224)
  assert (config.init_layers, config.learning_rate) == ("body", 1e-3)
  mini = finetuning.get_config("E,mini")
  assert (mini.network, mini.width, mini.num_steps) == ("E", 0.25, 600)
  for name, message in (("F", "'F' is not one of"), ("D,x", "profile 'x'")):
    with pytest.raises(InputError, match=message):
      finetuning.get_config(name)
