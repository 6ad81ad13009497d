"""Small networks, batches and photo folders that several tests use."""

import functools
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from vggjax import parallel
from vggjax.models import create, parameters
from vggjax.train import optim, step

CLASSES = ("blue", "green", "red")


def model(network="A", **options):
  """A network of width 1/16 for 32-pixel crops and 3 classes."""
  options = {
    "num_outputs": 3,
    "width": 1 / 16,
    "crop_size": 32,
    "initializer": "glorot",
    **options,
  }
  return create.create_model(network, **options)


def params(net, seed=0):
  """Random parameters on the host."""
  key = jax.random.key(seed, impl="rbg")
  return parallel.to_host(parameters.init_params(net, key))


@functools.cache
def optimizer(rate=0.01):
  """One object for all tests, so that a step is compiled once."""
  return optim.sgd(rate)


def state(net=None, rate=0.01, seed=0, **options):
  """A state before the first step, with a mean that is not 0."""
  net = net or model()
  return step.create_train_state(
    net,
    params(net),
    optimizer(rate),
    mean=np.array([120.0, 110.0, 100.0]),
    seed=seed,
    **options,
  )


def batches(count, size=16, classes=3, seed=0, crop=32):
  """Random training batches."""
  rng = np.random.default_rng(seed)
  return [
    {
      "image": rng.integers(0, 256, (size, crop, crop, 3), np.uint8),
      "shift": rng.normal(size=(size, 3)).astype(np.float32),
      "label": rng.integers(0, classes, size).astype(np.int32),
    }
    for _ in range(count)
  ]


def photo_folder(root: Path, train=16, validation=6, test=7) -> Path:
  """A folder of splits with JPEGs of three nearly separable classes."""
  rng = np.random.default_rng(5)
  counts = {"train": train, "validation": validation, "test": test}
  for split, count in counts.items():
    for label, name in enumerate(reversed(CLASSES)):
      folder = root / split / name
      folder.mkdir(parents=True)
      for i in range(count):
        # Of few sizes: evaluation compiles a program for each.
        size = ((36, 56), (48, 48), (57, 41))[i % 3]
        image = rng.integers(0, 120, (*size, 3), np.uint8)
        image[..., label] += 100
        Image.fromarray(image).save(folder / f"{i:03}.jpg", quality=90)
  return root


def assert_close(tree, other, tolerance):
  """Each array within `tolerance` of its own largest value."""
  leaves, others = jax.tree.leaves(tree), jax.tree.leaves(other)
  assert len(leaves) == len(others)
  for a, b in zip(leaves, others, strict=True):
    a, b = np.asarray(a), np.asarray(b)
    largest = max(np.abs(b).max(), 1e-30)
    assert np.abs(a - b).max() <= tolerance * largest


def assert_identical(tree, other):
  """All leaves equal, bit for bit."""
  leaves, others = jax.tree.leaves(tree), jax.tree.leaves(other)
  assert len(leaves) == len(others)
  for a, b in zip(leaves, others, strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
