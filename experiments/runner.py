"""What all tables share: systems are measured and stand as "paper | ours".

A table is its rows as data; see table3.py. Errors are in percent. Each of ours
is the mean over the seeds, +- their standard deviation where there are several,
and in brackets the 95 % bootstrap interval over the images.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.options import about, parse, results_folder
from experiments.output import error_cell, write
from experiments.systems import (
  MissingPosteriorsError,
  MissingRunError,
  System,
  Systems,
)
from vggjax.errors import InputError
from vggjax.imagenet import are_imagenet


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    labels: its cells before the errors.
    paper: the paper's figure for each measure; None where it gives none.
    system: what to measure; (): a row of the paper's alone.
  """

  labels: tuple[str, ...]
  paper: tuple[float | None, ...]
  system: System = ()


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of the paper.

  Attributes:
    name: of its files, e.g. "table3".
    title: with the section.
    columns: names of the labels.
    rows: in the paper's order.
    measures: name -> what `Systems.wrong_by_seed` takes; None: on the hidden
      test labels, which only the server can measure.
    systems: what measures the systems.
  """

  name: str
  title: str
  columns: tuple[str, ...]
  rows: tuple[Row, ...]
  measures: dict[str, int | str | None] = dataclasses.field(
    default_factory=lambda: {"top-1": 1, "top-5": 5}
  )
  systems: type[Systems] = Systems


def run_table(table: Table, arguments: Sequence[str] | None = None) -> int:
  """Measures a table's systems, writes and prints it.

  Returns:
    The exit status: 0, or 2 on bad input or when nothing could be measured.
  """
  options = parse(table.name, arguments, systems=table.systems)
  return tabulate(table, options, arguments)


def tabulate(
  table: Table, options: argparse.Namespace, arguments: Sequence[str] | None
) -> int:
  """`run_table` with its arguments parsed."""
  try:
    return _run_table(table, options, arguments)
  except InputError as error:
    print(f"{table.name}: {error}", file=sys.stderr)
    return 2


def _run_table(table, options, arguments):
  systems, folder = options.systems, results_folder(options)
  if not systems.has_labels():
    return write_submissions(table, options, folder)
  measured = [
    measure(systems, row.system, table.measures) for row in table.rows
  ]
  name_missing(table.name, options)
  seeds = sorted(set().union(*measured))
  if not seeds:
    return 2
  rows = []
  for row, wrong in zip(table.rows, measured, strict=True):
    result = {"labels": row.labels, "paper": row.paper, "ours": None}
    if row.system:
      result["runs"] = systems.runs_of(row.system)
    if wrong:
      result["ours"] = [
        None if k is None else error_cell([w[k] for w in wrong.values()], seeds)
        for k in table.measures.values()
      ]
    rows.append(result)
  write(
    {
      "name": table.name,
      "title": table.title,
      "columns": table.columns,
      "measures": list(table.measures),
      "rows": rows,
      **about(options, table.name, arguments, seeds),
    },
    folder,
  )
  return 0


def name_missing(name: str, options: argparse.Namespace) -> None:
  """Says what was asked for and is not there, and what makes it."""
  missing = options.systems.missing
  if not missing:
    return
  is_run = [not isinstance(e, MissingPosteriorsError) for e in missing.values()]
  hints = []
  if any(is_run):
    hints.append(
      f"python -m experiments.train_all --profile={options.profile} "
      f"--runs={options.runs} trains missing runs"
    )
  if not all(is_run):
    hints.append("without --no_compute posteriors are computed")
  print(f"{name}: missing {'; '.join([*missing, *hints])}", file=sys.stderr)


def measure(
  systems: Systems, system: System, measures: dict[str, int | str | None]
) -> dict[int, dict[int | str, np.ndarray]]:
  """Which images a system gets wrong: seed -> measure -> 100 or 0, [N]."""
  found = {}
  for k in measures.values() if system else ():
    if k is not None:
      for seed, wrong in systems.wrong_by_seed(system, k).items():
        found.setdefault(seed, {})[k] = wrong
  return found


def no_labels(systems: Systems) -> InputError:
  """What to raise where errors of an unlabeled split are asked for."""
  source = systems.any_source()
  return InputError(
    f"split {source.split} of {source.spec} has no labels, so there are no "
    "errors to measure; choose another --split"
  )


def write_submissions(
  table: Table, options: argparse.Namespace, folder: Path
) -> int:
  """Writes a file for the test server for each system of a table.

  Returns:
    The exit status: 0, or 2 if no file could be written.

  Raises:
    InputError: if the classes are not ImageNet's.
  """
  systems = options.systems
  class_names = systems.any_source().class_names
  if not are_imagenet(class_names):
    raise no_labels(systems)
  status = 2
  for number, row in enumerate(table.rows, start=1):
    if not row.system:
      continue
    path = folder / f"{table.name}-{number}-submission.txt"
    try:
      systems.write_submission(path, row.system, systems.seeds()[0])
    except MissingRunError as error:
      systems.missing.setdefault(str(error), error)
      continue
    print(f"{', '.join(row.labels)}: {path}")
    status = 0
  name_missing(table.name, options)
  return status
