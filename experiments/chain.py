"""The runs of one profile on one data set: where they are, how far they got.

The runs of seed s stand in FOLDER/seed-s/RUN, so that a run finds the one that
it starts from beside it.
"""

import argparse
import dataclasses
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from vggjax import checkpoint
from vggjax import config as configuration
from vggjax.configs import classification, localization
from vggjax.configs.classification import PROFILES
from vggjax.errors import InputError
from vggjax.tasks.train import differing_keys

# The config of every run, and the run that it starts from.
RECIPES = {
  **dict.fromkeys(classification.RUNS, "classification"),
  **dict.fromkeys(localization.RUNS, "localization"),
}
SOURCES = {
  **{run: row[2] for run, row in classification.RUNS.items()},
  **{run: row[0] for run, row in localization.RUNS.items()},
}


@dataclasses.dataclass(frozen=True)
class Chain:
  """What distinguishes one chain of runs from another.

  Attributes:
    profile: of configs/classification.py and the like.
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
      f"--config={config_file(RECIPES[run])}:{run},{self.profile}",
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


def config_file(recipe: str) -> str:
  """The path of a config, as it is installed."""
  return importlib.util.find_spec(f"vggjax.configs.{recipe}").origin


def add_chain_options(parser: argparse.ArgumentParser) -> None:
  """Adds the options by which a chain is named."""
  parser.add_argument(
    "--profile",
    choices=PROFILES,
    default="imagenet",
    help="of configs/classification.py; default imagenet",
  )
  parser.add_argument(
    "--runs",
    type=Path,
    default=Path("runs"),
    metavar="DIR",
    help="folder of the runs; default runs",
  )
  parser.add_argument(
    "--source", default="", help="data set; default: the profile's or the runs'"
  )


def parse_chain(
  parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, Chain]:
  """The options of a parser with `add_chain_options`, and their chain.

  Every --config.KEY=VALUE goes to all runs; any other unknown argument ends the
  process with the parser's usage.

  Args:
    parser: of the command.
    arguments: of the command line; None: the process's own.
  """
  options, overrides = parser.parse_known_args(arguments)
  for argument in overrides:
    if not argument.startswith("--config.") or "=" not in argument:
      parser.error(f"unknown argument {argument}")
  if options.source:
    overrides.append(f"--config.dataset.source={options.source}")
  return options, Chain(options.profile, options.runs, tuple(overrides))


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a run is.

  Attributes:
    state: "finished", "stopped", "not started", or "another config".
    text: the same for people.
  """

  state: str
  text: str


def how_far(workdir: Path) -> Progress:
  """How far a run is on the way that it was started for."""
  found = checkpoint.latest_card(workdir)
  if found is None:
    return Progress("not started", "not started")
  card, step = found
  return _after(step, card["num_steps"])


def _after(step: int, num_steps: int) -> Progress:
  if step >= num_steps:
    return Progress("finished", f"finished, {step:,} steps")
  return Progress("stopped", f"stopped at step {step:,} of {num_steps:,}")


def progress(chain: Chain, run: str, seed: int) -> Progress:
  """How far a run is on the way to what the chain wants of it.

  Raises:
    InputError: if the overrides are bad, or it has checkpoints but no config.
  """
  workdir = chain.workdir(run, seed)
  wanted = chain.config(run, seed)
  found = checkpoint.latest_card(workdir)
  if found is None:
    return Progress("not started", "not started")
  card, step = found
  path = workdir / checkpoint.CONFIG_FILE
  try:
    saved = configuration.load_config(path)
  except (OSError, ValueError) as error:
    raise InputError(f"{path} is not a run's config: {error}") from error
  if differing := differing_keys(wanted, saved):
    return Progress("another config", f"another config: {'; '.join(differing)}")
  if wanted.num_steps:
    return _after(step, wanted.num_steps)
  return _after(step, wanted.num_epochs * card["steps_per_epoch"])


def with_sources(runs: list[str]) -> list[str]:
  """The runs and those that they start from, in the order of SOURCES.

  Args:
    runs: keys of SOURCES; "classification" or "localization": all of these.

  Raises:
    InputError: if there is no such run.
  """
  wanted = set()
  for name in runs:
    named = [run for run in RECIPES if name in (run, RECIPES[run])]
    if not named:
      raise InputError(
        f"run {name!r} is not one of {', '.join(SOURCES)}; nor classification "
        "or localization, which stand for all of theirs"
      )
    for run in named:
      while run:
        wanted.add(run)
        run = SOURCES[run]
  return [run for run in SOURCES if run in wanted]
