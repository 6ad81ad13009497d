"""From a command to its first training step, twice (Sect. 3.1).

  python -m benchmarks.startup [--config=configs/classification.py:D-256,mini]
      [--full]

On photos made here, each start in a process and a workdir of its own: first
without compiled programs, then with those that the first kept. Also prints what
importing all public names of vggjax takes beyond `import jax`, and the time to
each process's end, with its checkpoint saved. --full: also how long D at its
full width takes to compile, both times. The last line is the first start's time
to its first step over the second's.
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
# Of a first and a second start.
PAIRS = 5
# Seconds between two looks for the first step's line.
INTERVAL = 0.01


def seconds_of(arguments, cache, line=None):
  """What a Python process takes to a file's first line, and to its end.

  Args:
    arguments: of the interpreter.
    cache: folder of compiled programs.
    line: the file; None: the first of the two is the second.
  """
  environment = {**os.environ, "VGGJAX_CACHE": str(cache)}
  environment.pop("JAX_COMPILATION_CACHE_DIR", None)
  begin = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, *arguments],
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
  )
  found = None
  while line and found is None and process.poll() is None:
    if line.exists() and line.stat().st_size:
      found = time.perf_counter() - begin
    time.sleep(INTERVAL)
  errors = process.communicate()[1]
  end = time.perf_counter() - begin
  if process.returncode or (line and found is None):
    raise SystemExit(errors.decode())
  return found or end, end


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
    "log_every": 1,
    "init_from": "",
    "pictures": False,
    "progress": False,
  }
  return [
    *("-m", "vggjax.main", f"--config={config}"),
    *(f"--config.{key}={value}" for key, value in settings.items()),
    f"--workdir={root / workdir}",
  ]


def start(root, workdir, config, cache):
  """The seconds to the first step of a run of its own, and to its end."""
  line = root / workdir / "metrics.jsonl"
  return seconds_of(train(root, workdir, config), root / cache, line)


# A process of the full-width network's compilation alone.
COMPILE = """
from vggjax.compilation import keep_programs
keep_programs()
from benchmarks import memory
from vggjax import parallel
from vggjax.models import create
from vggjax.train import step
devices = parallel.select_devices(1)
batch = parallel.shard(memory.make_batch(32, 224), devices)
state = memory.make_state(create.create_model("D"))
run = parallel.data_parallel(step.train_step, devices, donate=True)
run.compile(state, batch)
"""


def main():
  """Prints the times and the ratio."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    "--config", default="configs/classification.py:D-256,mini"
  )
  parser.add_argument("--full", action="store_true")
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    imports = {}
    for code in ("import jax", "from vggjax import *") * REPEATS:
      seconds, _ = seconds_of(["-c", code], root)
      imports.setdefault(code, []).append(seconds)
    jax, ours = map(np.median, imports.values())
    print(
      f"import jax {jax:.2f} s, all names of vggjax {ours - jax:+.2f} s "
      f"(medians of {REPEATS})"
    )
    make_photos(root / "photos")
    # What is read from disk and kept besides programs is warm for both.
    start(root, "warm", options.config, "other")
    times = []
    for pair in range(PAIRS):
      cache = f"cache{pair}"
      starts = f"first{pair}", f"second{pair}"
      times.append([start(root, run, options.config, cache) for run in starts])
    (first, first_end), (second, second_end) = np.median(times, axis=0)
    print(
      f"to the first step: first start {first:.1f} s, second {second:.1f} s; "
      f"to the end: {first_end:.1f} s, {second_end:.1f} s (medians of {PAIRS})"
    )
    if options.full:
      once, again = (
        seconds_of(["-c", COMPILE], root / "full")[1] for _ in range(2)
      )
      print(f"D, full width, compiled only: {once:.1f} s, then {again:.1f} s")
    print(f"ratio {first / second:.2f}")


if __name__ == "__main__":
  main()
