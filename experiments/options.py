"""The options that all tables share, and where their results go.

  python -m experiments.table3 --profile=mini --runs=runs/shapes

--config.KEY=VALUE sets any evaluation key, e.g. --config.test_batch_size=8.

Errors are in percent. Each of ours is the mean over the seeds, +- their
standard deviation where there are several, and in brackets the 95 % bootstrap
interval over the images.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.chain import add_chain_options, parse_chain
from experiments.output import short_paths
from experiments.systems import Systems
from vggjax.compilation import keep_programs
from vggjax.configs.classification import RUNS
from vggjax.errors import InputError
from vggjax.weights import names

RESULTS = Path("experiments/results")


def parse(
  name: str,
  arguments: Sequence[str] | None,
  add_options: Callable[[argparse.ArgumentParser], None] | None = None,
  systems: type[Systems] = Systems,
) -> argparse.Namespace:
  """The options of an experiment; `systems` is made of them.

  Args:
    name: of its module.
    arguments: of the command line; None: the process's own.
    add_options: adds options of its own to the parser.
    systems: what measures its systems.
  """
  parser = argparse.ArgumentParser(
    prog=f"python -m experiments.{name}",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add_chain_options(parser)
  parser.add_argument(
    "--split",
    default="",
    help="default: the profile's (imagenet: validation, mini: test)",
  )
  parser.add_argument(
    "--weights",
    nargs="+",
    default=(),
    metavar="NETWORK=WEIGHTS",
    help="networks in place of the runs: a run's folder, a file of weights, or "
    "a name such as oxford:vgg16",
  )
  parser.add_argument(
    "--no_compute",
    action="store_true",
    help="name missing posteriors instead of computing them",
  )
  parser.add_argument(
    "--results",
    type=Path,
    default=RESULTS,
    metavar="DIR",
    help=f"default {RESULTS}; files go to PROFILE/DATA SET/ there",
  )
  if add_options:
    add_options(parser)
  keep_programs()
  options, chain = parse_chain(parser, arguments)
  weights = {}
  for item in options.weights:
    network, equals, place = item.partition("=")
    if not equals or network not in {row[0] for row in RUNS.values()}:
      parser.error(f"--weights {item}: must be NETWORK=WEIGHTS, e.g. D=runs/D")
    if not names.is_name(place) and not Path(place).expanduser().exists():
      parser.error(f"--weights {item}: there is no {place}")
    weights[network] = place
  try:
    options.systems = systems(
      chain,
      split=options.split,
      weights=weights,
      compute=not options.no_compute,
    )
  except InputError as error:
    parser.error(str(error))
  return options


def about(
  options: argparse.Namespace,
  name: str,
  arguments: Sequence[str] | None,
  seeds: Sequence[int],
) -> dict:
  """What a result's reader must know: data, seeds, command."""
  source = options.systems.any_source()
  return {
    "profile": options.profile,
    "data": data_name(source.spec),
    "split": source.split,
    "num_images": source.num_examples,
    "num_classes": len(source.class_names),
    "seeds": seeds,
    "command": command(name, arguments),
  }


def command(name: str, arguments: Sequence[str] | None) -> str:
  """An experiment's command line, without the places of folders."""
  given = sys.argv[1:] if arguments is None else arguments
  words = ["python", "-m", f"experiments.{name}", *given]
  return short_paths(shlex.join(words))


def data_name(spec: str) -> str:
  """A data set's name; of a folder its last part, as its place is nobody's."""
  if not spec.startswith("folder:"):
    return spec
  folder = Path(spec.removeprefix("folder:")).expanduser()
  return f"folder:{os.path.basename(os.path.abspath(folder))}"


def results_folder(options: argparse.Namespace) -> Path:
  """RESULTS/PROFILE/DATA SET."""
  name = folder_name(options.systems.any_source().spec)
  return options.results / options.profile / name


def folder_name(spec: str) -> str:
  """The folder of a data set's results."""
  name = data_name(spec).removeprefix("folder:")
  return name.replace("/", "-").replace(":", "-")
