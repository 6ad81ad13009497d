"""Kills a run at random moments, and compares its end with an undisturbed one.

  PYTHONPATH=. python tests/soak/kills.py --kills=25

A run prepares a data set, computes its statistics, trains and evaluates. Each
round has a new run that is killed (SIGKILL) in turn in each of these phases, at
a random time after the phase began, and started again. Which phase was really
hit is read off the files while the process is held (SIGSTOP). At the end of a
round all arrays of the last checkpoint (parameters, momentum, plateau), the
posteriors and the metrics must be those of the run never killed, bit for bit.
The last line is `survived N of N`.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
from absl import logging

from vggjax import checkpoint
from vggjax.config import parse_arguments
from vggjax.evaluate import store
from vggjax.tasks import train
from vggjax.train import log, loop

SCALES = (32, 36)
OVERRIDES = (
  "width=0.0625",
  "crop_size=32",
  "train_scale=(32,40)",
  "batch_size=16",
  "schedule=plateau",
  "patience=1",
  "min_improvement=100.0",  # So that the rate drops, too.
  "num_steps=0",
  "num_epochs=8",
  "log_every=1",
  "num_devices=1",
  "test_batch_size=4",
  "progress=False",
  "pictures=False",
)
# The phases in which a round's kills are wanted, and the longest time from the
# beginning of each to its kill, seconds.
PHASES = {
  "preparing": 2.0,
  "statistics": 0.05,
  "step": 0.1,
  "save": 0.03,
  "evaluation": 0.3,
}


@dataclasses.dataclass(frozen=True)
class Run:
  """A run with a data set and a cache of its own.

  Attributes:
    root: the folder of all that is its own.
    source: of the images; a tfds name is prepared first.
    splits: of training, validation and testing.
    tasks: what is done, in this order.
  """

  root: Path
  source: str = "shapes/easy"
  splits: tuple[str, ...] = ("train[:192]", "validation[:64]", "test[:200]")
  tasks: tuple[str, ...] = ("train", "evaluate")

  @property
  def workdir(self) -> Path:
    return self.root / "run"

  def arguments(self, task: str) -> list[str]:
    """The command line of a task, without the program."""
    config = {"train": "classification", "evaluate": "evaluation"}[task]
    trained, watched, tested = self.splits
    overrides = (
      *OVERRIDES,
      f"dataset.source={self.source}",
      f"dataset.data_dir={self.root / 'data'}",
      f"dataset.train_split={trained}",
      f"dataset.validation_split={watched}",
      f"split={tested}",
      f"test_scales={SCALES}",
    )
    return [
      f"--config=configs/{config}.py:A-256,mini",
      *(f"--config.{override}" for override in overrides),
      f"--workdir={self.workdir}",
    ]

  def start(self, task: str, checkpoint_every: int = 1000) -> subprocess.Popen:
    """A task in a process of its own."""
    environment = {
      **os.environ,
      "VGGJAX_CACHE": str(self.root / "cache"),
      "XLA_FLAGS": "",
      "TF_CPP_MIN_LOG_LEVEL": "3",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # Compiling takes long.
    }
    return subprocess.Popen(
      [
        *(sys.executable, "-m", "vggjax.main", *self.arguments(task)),
        f"--config.checkpoint_every={checkpoint_every}",
      ],
      env=environment,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
    )

  def finish(self, task: str) -> None:
    """Runs a task to its end."""
    process = self.start(task)
    message = process.communicate()[1].decode()
    assert process.returncode == 0, message

  def unfinished(self) -> set[Path]:
    """The folders of data sets that were or are being prepared."""
    return set(self.root.glob("data/**/*incomplete*"))

  def phase(self, abandoned: set[Path]) -> str:
    """What the files say that the run is doing.

    Args:
      abandoned: `unfinished` before it was started.
    """
    if self.unfinished() - abandoned:
      return "preparing"
    if list(self.workdir.glob("posteriors/*/*.partial/rows.npy")):
      return "evaluation"
    if list(self.workdir.glob("checkpoints/*tmp*")):
      return "save"
    if self.steps():
      return "step"
    is_prepared = ":" in self.source or list(self.root.glob("data/**/*.json"))
    has_statistics = list(self.root.glob("cache/statistics/*.json"))
    if self.workdir.exists() and is_prepared and not has_statistics:
      return "statistics"
    return "start"

  def steps(self) -> set[int]:
    """The steps of the checkpoints."""
    names = (path.name for path in self.workdir.glob("checkpoints/*"))
    return {int(name) for name in names if name.isdigit()}

  def logged(self) -> int:
    """The last step in the metrics."""
    return max((r["step"] for r in log.read_metrics(self.workdir)), default=0)

  def end(self) -> list[np.ndarray]:
    """All arrays that the run left, and its metrics but for times."""
    config, _ = parse_arguments(self.arguments("train"))
    card = checkpoint.load_run(self.workdir)[1]
    state = train.create_state(config, card, None)
    with checkpoint.Checkpoints(self.workdir, read_only=True) as checkpoints:
      state = loop.restore(checkpoints, state, checkpoints.steps()[-1])
    arrays = jax.tree.leaves(state)
    for scale in SCALES if "evaluate" in self.tasks else ():
      path = store.path_of(self.workdir, self.splits[2], "dense", scale)
      with np.load(path) as file:
        arrays += [file["posteriors"], file["ids"]]
    for record in log.read_metrics(self.workdir):
      record.pop("images_per_second", None)
      arrays.append(np.array(json.dumps(record)))
    return arrays


def kill(run: Run, wanted: str, delay: float) -> str | None:
  """Starts a run and kills it in a phase; or stops it, by SIGTERM in a step.

  Args:
    run: as far as it has come.
    wanted: the phase, or "stop".
    delay: from the first sign of the phase to the kill, seconds.

  Returns:
    The phase that was hit; None if the run had ended before.
  """
  steps, logged, abandoned = run.steps(), run.logged(), run.unfinished()
  process = run.start(
    "evaluate" if wanted == "evaluation" else "train",
    # In a save: with one after each step, there is nearly always one under way.
    checkpoint_every=1 if wanted == "save" else 1000,
  )

  def is_on():
    if wanted == "stop":
      return run.logged() > logged + 1
    # Of training it counts what this start does.
    new = len(run.steps() - steps) > 1 or wanted not in ("step", "save")
    return new and run.phase(abandoned) == wanted

  while process.poll() is None and not is_on():
    time.sleep(0.0005)
  time.sleep(delay)
  if wanted == "stop":
    process.send_signal(signal.SIGTERM)
    message = process.communicate()[1].decode()
    assert process.returncode == 143, message
    # It has saved where it stopped.
    assert max(run.steps()) == run.logged() > max(steps, default=0)
    return "stop"
  process.send_signal(signal.SIGSTOP)
  if process.poll() is not None:
    assert process.returncode == 0, process.stderr.read().decode()
    return None
  hit = run.phase(abandoned)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  return hit


def survive(
  root: Path, kills: int, phases: dict[str, float], seed: int, **options
) -> Counter:
  """Kills runs, round after round, and compares each one's end.

  Args:
    root: an empty folder.
    kills: how many.
    phases: as PHASES, in the order in which they come.
    seed: of the times.
    options: of `Run`.

  Returns:
    How many kills hit which phase.

  Raises:
    AssertionError: if a start fails, or an end differs.
  """
  generator = random.Random(seed)
  undisturbed = Run(root / "undisturbed", **options)
  for task in undisturbed.tasks:
    undisturbed.finish(task)
  wanted_end = undisturbed.end()
  begin, hits, number = time.monotonic(), Counter(), 0
  while sum(hits.values()) < kills:
    number += 1
    run = Run(root / f"round-{number}", **options)
    todo = list(run.tasks)
    for phase, longest in phases.items():
      if sum(hits.values()) == kills:
        break
      if phase == "evaluation":
        run.finish(todo.pop(0))
      delay = generator.uniform(0, longest)
      if (hit := kill(run, phase, delay)) is None:
        print(f"round {number}: ended before the kill in a {phase}", flush=True)
        continue
      hits[hit] += 1
      print(
        f"kill {sum(hits.values())} at {time.monotonic() - begin:.2f} s, "
        f"{delay:.3f} s into a {phase}: hit {hit}, "
        f"step {max(run.steps(), default=0)}",
        flush=True,
      )
    for task in todo:
      run.finish(task)
    end = run.end()
    assert len(end) == len(wanted_end)
    for found, expected in zip(end, wanted_end, strict=True):
      np.testing.assert_array_equal(found, expected)
    print(
      f"round {number}: {len(end)} arrays are those undisturbed", flush=True
    )
  return hits


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--kills", type=int, default=25)
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args()
  logging.set_verbosity(logging.ERROR)  # orbax warns of reading.
  with tempfile.TemporaryDirectory() as root:
    hits = survive(Path(root), options.kills, PHASES, options.seed)
  print(", ".join(f"{phase} {count}" for phase, count in hits.items()))
  assert hits["save"] >= min(3, options.kills // 5)
  print(f"survived {sum(hits.values())} of {options.kills}")


if __name__ == "__main__":
  main()
