"""`vggjax check`: whether a training can run to its end."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from absl import logging

from vggjax.addresses import location, reaching
from vggjax.config import parse_arguments
from vggjax.errors import InputError, StorageError

# The exit status where something fails; that of bad input, too.
FAILS = 2
DESCRIPTION = """\
Looks at what a training needs before it begins: devices, the data's splits,
unreadable and damaged images, images that stand in two splits, the disk, the
memory, and how long it would take, from some of its steps. Each line is ok, a
note, or FAIL; the exit status is 0, or 2 where one says FAIL.
"""
EXAMPLES = """\
examples:
  vggjax check --config=classification.py:A-256,mini \\
    --config.dataset.source=folder:PHOTOS --workdir=runs/A-256
"""


def add_parser(commands: Any) -> None:
  """Adds the command to those of a parser."""
  add_options(
    commands.add_parser(
      "check",
      help="look at what a training needs before it begins",
      description=DESCRIPTION,
      epilog=EXAMPLES,
      usage="vggjax check --config=FILE[:RUN[,PROFILE]] "
      "[--config.KEY=VALUE ...]\n"
      "                    --workdir=DIR [--steps=N] [--skip_images]",
      formatter_class=argparse.RawDescriptionHelpFormatter,
    )
  )


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the options beside those of `vggjax train`."""
  parser.add_argument(
    "--steps",
    type=int,
    default=10,
    metavar="N",
    help="steps that are timed; 0: none; default 10",
  )
  parser.add_argument(
    "--skip_images",
    action="store_true",
    help="do not read all images, which takes a pass over the data set",
  )


def run(arguments: Sequence[str]) -> int:
  """Checks; returns the exit status.

  Args:
    arguments: those of `vggjax train`, and the options.
  """
  parser = argparse.ArgumentParser(prog="vggjax check", allow_abbrev=False)
  add_options(parser)
  try:
    options, rest = parser.parse_known_args(arguments)
  except SystemExit as end:
    return end.code
  logging.set_verbosity(logging.ERROR)
  try:
    if options.steps < 0:
      raise InputError(f"--steps is {options.steps}; it must be at least 0")
    config, workdir = parse_arguments(rest)
    from vggjax.tasks import check

    with reaching(workdir):
      is_good = check.check(
        config,
        location(workdir),
        steps=options.steps,
        images=not options.skip_images,
      )
  except (InputError, StorageError) as error:
    print(f"vggjax: {error}", file=sys.stderr)
    return FAILS
  return 0 if is_good else FAILS
