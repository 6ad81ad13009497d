"""The `vggjax` command."""

import argparse
import importlib
import sys
from collections.abc import Sequence

import vggjax
from vggjax import main
from vggjax.compilation import keep_programs
from vggjax.errors import InputError, StorageError

# Each a module of vggjax.commands.
COMMANDS = ("check", "predict", "features", "convert", "info", "launch")
DESCRIPTION = """\
Very deep convolutional networks (Simonyan & Zisserman, 2014).

  vggjax train    --config=FILE[:RUN[,PROFILE]] [--config.KEY=VALUE ...]
                  --workdir=DIR
  vggjax evaluate --config=FILE[:RUN[,PROFILE]] [--config.KEY=VALUE ...]
                  --workdir=DIR
  vggjax check    what `vggjax train` takes: looks before it begins
  vggjax transfer --config=transfer.py[:PROTOCOL[,PROFILE]]
                  --config.transfer.networks=RUN|WEIGHTS[,...] --workdir=DIR

FILE is a config of your own or one of the package's: classification.py,
localization.py, evaluation.py, finetuning.py, transfer.py, quickstart.py. All
keys are in configs/base.py.
"""
EXAMPLES = """\
examples:
  vggjax predict cat.jpg --weights=torchvision:vgg16
  vggjax train --config=classification.py:A-256,mini \\
    --config.dataset.source=folder:PHOTOS --workdir=runs/A-256
  vggjax evaluate --config=evaluation.py:A-256,mini --config.split=test \\
    --config.dataset.source=folder:PHOTOS --workdir=runs/A-256
"""


def run(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit status.

  Args:
    arguments: None: those of the command line.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  wants_help = {"-h", "--help"} & set(arguments)
  if arguments[:1] and arguments[0] in main.TASKS and not wants_help:
    return main.main(arguments[1:], task=arguments[0])
  keep_programs()
  if arguments[:1] == ["check"] and not wants_help:
    return _run_check(arguments[1:])
  parser = make_parser()
  if not arguments:
    parser.print_help()
    return main.BAD_INPUT
  try:
    options = parser.parse_args(arguments)
  except SystemExit as end:  # After help, or the usage on bad options.
    return end.code
  try:
    return options.run(options)
  except InputError as error:
    print(f"vggjax: {error}", file=sys.stderr)
    return main.BAD_INPUT
  except StorageError as error:
    print(f"vggjax: {error}", file=sys.stderr)
    return main.CANNOT_STORE
  except KeyboardInterrupt:
    return main.INTERRUPTED


def _run_check(arguments: Sequence[str]) -> int:
  """Its config's keys are no options that argparse could know."""
  from vggjax.commands import check

  try:
    return check.run(arguments)
  except KeyboardInterrupt:
    return main.INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
  """All commands and their options."""
  parser = argparse.ArgumentParser(
    prog="vggjax",
    description=DESCRIPTION,
    epilog=EXAMPLES,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    "--version", action="version", version=f"vggjax {vggjax.__version__}"
  )
  commands = parser.add_subparsers(
    dest="command", required=True, metavar="COMMAND"
  )
  for task in main.TASKS:
    commands.add_parser(
      task,
      help=f"{task} by a config, see above",
      description=DESCRIPTION,
      epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter,
    )
  for name in COMMANDS:
    importlib.import_module(f"vggjax.commands.{name}").add_parser(commands)
  networks = commands.add_parser("networks", help="print Table 2")
  networks.set_defaults(run=print_networks)
  return parser


def print_networks(_: argparse.Namespace) -> int:
  """Prints Table 2: weight layers, parameters, and GMACs at 224 pixels."""
  from vggjax.models import create, parameters, vgg

  print("network    layers   parameters  GMACs at 224")
  for network in vgg.NETWORKS:
    model = create.create_model(network)
    layers = len(parameters.param_shapes(model))
    count = parameters.count_parameters(model)
    gmacs = parameters.count_macs(model, 224, 224) / 1e9
    print(f"{network:9}  {layers:6}  {count:>11,}  {gmacs:12.2f}")
  return 0
