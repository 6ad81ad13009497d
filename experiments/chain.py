"""The runs of one profile on one data set: where they are, how far they got.

The runs of seed s stand in FOLDER/seed-s/RUN, so that a run finds the one that
it starts from beside it.
"""

import dataclasses
import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from vggjax import checkpoint
from vggjax import config as configuration
from vggjax.configs.classification import RUNS
from vggjax.errors import InputError
from vggjax.tasks import run as task_run
from vggjax.tasks.train import differing_keys

CONFIG_FILE = importlib.util.find_spec("vggjax.configs.classification").origin


@dataclasses.dataclass(frozen=True)
class Chain:
  """What distinguishes one chain of runs from another.

  Attributes:
    profile: of configs/classification.py.
    folder: of all runs.
    overrides: --config.KEY=VALUE arguments for every run.
  """

  profile: str
  folder: Path
  overrides: tuple[str, ...] = ()

  def workdir(self, run: str, seed: int) -> Path:
    """Where a run stands."""
    return self.folder / f"seed-{seed}" / run

  def arguments(self, run: str, seed: int) -> list[str]:
    """The arguments of `vggjax.main` that train a run."""
    return [
      f"--config={CONFIG_FILE}:{run},{self.profile}",
      f"--config.seed={seed}",
      *self.overrides,
      f"--workdir={self.workdir(run, seed)}",
    ]

  def config(self, run: str, seed: int) -> ConfigDict:
    """The config that a run is to be trained with."""
    return configuration.parse_arguments(self.arguments(run, seed))[0]

  def seeds(self) -> list[int]:
    """The seeds of which there are runs, ascending."""
    names = [path.name for path in self.folder.glob("seed-*")]
    numbers = [name.removeprefix("seed-") for name in names]
    return sorted(int(n) for n in numbers if n.isdigit())


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a run is.

  Attributes:
    state: "finished", "stopped", "not started", or "another config".
    text: the same for people.
  """

  state: str
  text: str


def progress(chain: Chain, run: str, seed: int) -> Progress:
  """How far a run is, from its workdir.

  Raises:
    InputError: if the overrides are bad, or it has checkpoints but no config.
  """
  workdir = chain.workdir(run, seed)
  wanted = chain.config(run, seed)
  found = checkpoint.latest_card(workdir)
  if found is None:
    return Progress("not started", "not started")
  card, step = found
  path = workdir / task_run.CONFIG_FILE
  try:
    saved = configuration.load_config(path)
  except (OSError, ValueError) as error:
    raise InputError(f"{path} is not a run's config: {error}") from error
  if differing := differing_keys(wanted, saved):
    return Progress("another config", f"another config: {'; '.join(differing)}")
  num_steps = wanted.num_steps
  # Of the newest checkpoint; the saved config may be of a later start.
  epochs = card.get("num_epochs", saved["num_epochs"])
  if not num_steps and epochs:
    num_steps = card["num_steps"] // epochs * wanted.num_epochs
  if num_steps and step >= num_steps:
    return Progress("finished", f"finished, {step} steps")
  return Progress("stopped", f"stopped at step {step} of {num_steps or '?'}")


def with_sources(runs: list[str]) -> list[str]:
  """The runs and those that they start from, in the order of RUNS.

  Raises:
    InputError: if one is not a key of RUNS.
  """
  wanted = set()
  for name in runs:
    if name not in RUNS:
      raise InputError(f"run {name!r} is not one of {', '.join(RUNS)}")
    while name:
      wanted.add(name)
      name = RUNS[name][2]
  return [name for name in RUNS if name in wanted]
