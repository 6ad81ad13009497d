"""What Tables 11 and 12 share: descriptors are measured under protocols."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.options import command, folder_name, parse
from experiments.output import short_paths, write
from experiments.runner import name_missing
from experiments.transfers import Descriptor, Transfers, cell
from vggjax.configs.transfer import PROTOCOLS
from vggjax.errors import InputError
from vggjax.tasks.outcomes import MEASURES

# The paper's figure under a protocol; with the spread over random splits where
# the paper gives it.
Figures = dict[str, float | str]


@dataclasses.dataclass(frozen=True)
class TransferRow:
  """A row of a table.

  Attributes:
    labels: its cells before the figures.
    descriptor: what is measured; None: a row of the paper's alone.
    paper: the paper's figures by protocol.
  """

  labels: tuple[str, ...]
  descriptor: Descriptor | None = None
  paper: Figures = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class TransferTable:
  """A table of the paper.

  Attributes:
    name: of its files.
    title: with the section.
    columns: names of the labels.
    rows: by profile.
    protocols: by profile, keys of configs/transfer.py's PROTOCOLS.
    drawn: the descriptor of which features.png shows a map; None: none.
  """

  name: str
  title: str
  columns: tuple[str, ...]
  rows: dict[str, tuple[TransferRow, ...]]
  protocols: dict[str, tuple[str, ...]]
  drawn: Descriptor | None = None


def run_transfer_table(
  table: TransferTable, arguments: Sequence[str] | None = None
) -> int:
  """Measures a table's descriptors, writes and prints it.

  Returns:
    The exit status: 0, or 2 on bad input or when nothing could be measured.
  """
  options = parse(table.name, arguments, add_protocols)
  try:
    return _run(table, options, arguments)
  except InputError as error:
    print(f"{table.name}: {error}", file=sys.stderr)
    return 2


def add_protocols(parser: argparse.ArgumentParser) -> None:
  """Adds the option that chooses protocols."""
  parser.add_argument(
    "--protocols",
    type=lambda text: tuple(text.split(",")),
    default=(),
    metavar="NAME,...",
    help=f"of {', '.join(PROTOCOLS)}; default: the table's",
  )


def chosen_protocols(
  options: argparse.Namespace, default: Sequence[str]
) -> Sequence[str]:
  """The protocols asked for.

  Raises:
    InputError: if there is no such one.
  """
  for name in options.protocols:
    if name not in PROTOCOLS:
      raise InputError(
        f"--protocols: {name!r} is not one of {', '.join(PROTOCOLS)}"
      )
  return options.protocols or default


def _run(table, options, arguments):
  transfers = Transfers(options)
  protocols = chosen_protocols(options, table.protocols[options.profile])
  rows, abouts = [], {}
  for row in table.rows[options.profile]:
    rows.append([])
    for name in protocols if row.descriptor else ():
      rows[-1].append(transfers.by_seed(name, row.descriptor))
      abouts[name] = transfers.about(name)
  name_missing(table.name, options)
  seeds = sorted({seed for row in rows for found in row for seed in found})
  if not seeds:
    return 2
  measures = [transfers.measure(name) for name in protocols]
  result = {
    "name": table.name,
    "title": table.title,
    "columns": table.columns,
    "measures": [
      f"{name}, {MEASURES[measure]}"
      for name, measure in zip(protocols, measures, strict=True)
    ],
    "rows": [
      {
        "labels": row.labels,
        "paper": [row.paper.get(name) for name in protocols],
        "ours": [
          cell(by_seed, measure, seeds)
          for by_seed, measure in zip(found, measures, strict=True)
        ]
        if found
        else None,
      }
      for row, found in zip(table.rows[options.profile], rows, strict=True)
    ],
    "profile": options.profile,
    "seeds": seeds,
    "protocols": abouts,
    "caption": caption(options, abouts, seeds),
    "command": command(table.name, arguments),
  }
  folder = folder_of(options, abouts)
  write(result, folder)
  if table.drawn and transfers.by_seed(protocols[0], table.drawn):
    path = folder / "features.png"
    transfers.draw_map(protocols[0], table.drawn, seeds[0], path)
  return 0


def caption(
  options: argparse.Namespace, abouts: dict[str, dict], seeds: Sequence[int]
) -> str:
  """What the figures are."""
  lines = [
    "In %, higher is better. Paper: full-size networks trained on ImageNet. "
    f"Ours: networks of {short_paths(str(options.runs))}, profile "
    f"{options.profile}"
    if not options.weights
    else "In %, higher is better. Ours: "
    + short_paths(", ".join(options.weights))
  ]
  for name, about in abouts.items():
    splits = about["random_splits"]
    how = f"{splits} random splits" if splits else f"split {about['split']}"
    lines.append(
      f"{name}: {about['data']}, {about['num_classes']} classes, "
      f"{about['num_trained']:,} images to train on, "
      f"{about['num_images']:,} to test ({how})"
    )
  number = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
  return (
    f"{'. '.join(lines)}. {number[0].upper()}{number[1:]}; ± is the standard "
    "deviation over splits and seeds; in brackets the 95 % bootstrap interval "
    "over the images."
  )


def folder_of(options: argparse.Namespace, abouts: dict[str, dict]) -> Path:
  """RESULTS/PROFILE, and there the data set's name if it is but one."""
  names = {folder_name(about["data"]) for about in abouts.values()}
  folder = options.results / options.profile
  if len(names) > 1 or options.profile == "imagenet":
    return folder
  return folder / names.pop()
