"""A run as training leaves it, with answers that differ, and its photos."""

import functools
from pathlib import Path

import numpy as np
import tiny
from pictures import picture
from PIL import Image

from vggjax import checkpoint
from vggjax.config import parse_arguments
from vggjax.evaluate import store
from vggjax.models import parameters
from vggjax.tasks import run

NUM_TESTED = 27


def photo_folder(root: Path) -> Path:
  """Three classes; the images lie and stand by turns, in all colors."""
  random = np.random.default_rng(4)
  for split, count in (("train", 9), ("validation", 3), ("test", NUM_TESTED)):
    for i in range(count):
      folder = root / split / tiny.CLASSES[i % 3]
      folder.mkdir(parents=True, exist_ok=True)
      image = picture(40, 46, seed=i) * random.uniform(0.1, 1, 3)
      if i % 2:
        image = image.transpose(1, 0, 2)
      Image.fromarray(image.astype(np.uint8)).save(folder / f"{i:02}.png")
  return root


def arguments(photos, workdir, *overrides, scales=(32, 36), split="test"):
  """The evaluation's command line; batches of 4 images on 4 devices."""
  overrides = (
    f"dataset.source=folder:{photos}",
    "width=0.0625",
    "crop_size=32",
    "train_scale=(32,32)",
    f"split={split}",
    f"test_scales={scales}",
    "num_devices=4",
    "test_batch_size=4",
    "progress=False",
    "pictures=False",
    *overrides,
  )
  return [
    "--config=configs/evaluation.py:A-256,mini",
    *(f"--config.{override}" for override in overrides),
    f"--workdir={workdir}",
  ]


def save_run(workdir: Path, photos: Path) -> Path:
  """Checkpoints of steps 2 and 3, other networks each; 3 is the best."""
  config, _ = parse_arguments(arguments(photos, workdir))
  card = run.make_card(config, run.open_split(config, "train"), [128.0] * 3)
  with checkpoint.Checkpoints(workdir) as checkpoints:
    for step, error in ((2, 50.0), (3, 25.0)):
      # Seeds by which no class has nearly all images.
      params = random_params(step + 2)
      training = {"step": np.array(step)}
      checkpoints.save(step, params, training, card, error)
  return workdir


@functools.cache
def random_params(seed: int) -> dict:
  """Kernels by which signals reach the end, and biases that count."""
  random = np.random.default_rng(seed)
  result = {}
  for name, layer in parameters.param_shapes(tiny.model()).items():
    shape = layer["kernel"].shape
    std = np.sqrt(2 / np.prod(shape[:3])) / (20 if name == "fc8" else 1)
    result[name] = {
      "kernel": random.normal(0, std, shape).astype(np.float32),
      "bias": random.normal(0, 0.3, shape[-1:]).astype(np.float32),
    }
  return result


def load(workdir: Path, protocol: str, scale: int) -> dict[str, np.ndarray]:
  """The arrays of a stored file."""
  with np.load(store.path_of(workdir, "test", protocol, scale)) as file:
    return dict(file)
