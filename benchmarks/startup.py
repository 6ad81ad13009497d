"""From a command to its end after one training step, twice (Sect. 3.1).

  python -m benchmarks.startup [--config=configs/classification.py:D-256,mini]

On photos made here, each start in a process and a workdir of its own: first
without compiled programs, then with those that the first kept. Also prints what
`import vggjax` takes beyond `import jax`. The last line is the first start's
time over the second's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

REPEATS = 5


def seconds_of(arguments, cache):
  """What a Python process takes, wall clock.

  Args:
    arguments: of the interpreter.
    cache: folder of compiled programs.
  """
  environment = {**os.environ, "VGGJAX_CACHE": str(cache)}
  environment.pop("JAX_COMPILATION_CACHE_DIR", None)
  begin = time.perf_counter()
  subprocess.run(
    [sys.executable, *arguments],
    env=environment,
    check=True,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  return time.perf_counter() - begin


def make_photos(folder):
  """128 photos of noise, of two classes."""
  random = np.random.default_rng(0)
  for number in range(128):
    path = folder / "train" / "ab"[number % 2] / f"{number}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 256, (80, 90, 3), np.uint8)).save(path)


def train(root, workdir, config):
  """The arguments of one training step."""
  settings = {
    "dataset.source": f"folder:{root / 'photos'}",
    "dataset.validation_split": "",
    "schedule": "fixed",
    "boundaries": "()",
    "num_epochs": 0,
    "num_steps": 1,
    "init_from": "",
    "pictures": False,
    "progress": False,
  }
  return [
    *("-m", "vggjax.main", f"--config={config}"),
    *(f"--config.{key}={value}" for key, value in settings.items()),
    f"--workdir={root / workdir}",
  ]


def main():
  """Prints the times and the ratio."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    "--config", default="configs/classification.py:D-256,mini"
  )
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    imports = {}
    for name in ("jax", "vggjax") * REPEATS:
      seconds = seconds_of(["-c", f"import {name}"], root)
      imports.setdefault(name, []).append(seconds)
    jax, ours = (np.median(imports[name]) for name in ("jax", "vggjax"))
    print(
      f"import jax {jax:.2f} s, import vggjax {ours - jax:+.2f} s "
      f"(medians of {REPEATS})"
    )
    make_photos(root / "photos")
    # What is read from disk and kept besides programs is warm for both.
    seconds_of(train(root, "warm", options.config), root / "other")
    first = seconds_of(train(root, "first", options.config), root / "cache")
    second = seconds_of(train(root, "second", options.config), root / "cache")
    print(f"one step: first start {first:.1f} s, second {second:.1f} s")
    print(f"ratio {first / second:.2f}")


if __name__ == "__main__":
  main()
