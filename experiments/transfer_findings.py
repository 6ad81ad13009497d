"""The paper's findings on features, by the paired bootstrap (App. B).

  python -m experiments.transfer_findings --profile=mini --runs=runs/shapes \\
    --source=folder:clothing144

A finding says that one descriptor is better than another. It holds, or does not
hold, where the 95 % interval of the difference over the images lies on one
side of 0, and is undecided where it contains 0. Options: `python -m
experiments.transfer_findings --help`.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

import numpy as np

from experiments.options import command, parse
from experiments.output import difference_cell, write
from experiments.runner import name_missing
from experiments.transfer_table import (
  add_protocols,
  caption,
  chosen_protocols,
  folder_of,
)
from experiments.transfers import Descriptor, Transfers
from vggjax.configs.transfer import THREE
from vggjax.errors import InputError
from vggjax.tasks.outcomes import Outcome, difference_interval, value_of

D, E, BOTH = ("D",), ("E",), ("D", "E")
VOC, CALTECH = ("voc2007", "voc2012"), ("caltech101", "caltech256")
OWN = ("classes", "labels")


@dataclasses.dataclass(frozen=True)
class TransferFinding:
  """One of the paper's findings on features.

  Attributes:
    text: what the paper found, or what a reader would expect.
    better: the descriptor said to be better.
    worse: the other one.
    protocols: under which.
    paper: the difference in the paper by protocol, points, where it gives it.
  """

  text: str
  better: Descriptor
  worse: Descriptor
  protocols: tuple[str, ...]
  paper: dict[str, float] = dataclasses.field(default_factory=dict)


ITEMS = (
  TransferFinding(
    "D & E stacked above D",
    Descriptor(BOTH),
    Descriptor(D),
    VOC + CALTECH + OWN,
    {"voc2007": 0.4, "voc2012": 0.3, "caltech101": 0.9, "caltech256": 1.2},
  ),
  TransferFinding(
    "D & E stacked above E",
    Descriptor(BOTH),
    Descriptor(E),
    VOC + CALTECH + OWN,
    {"voc2007": 0.4, "voc2012": 0.3, "caltech101": 0.4, "caltech256": 1.1},
  ),
  TransferFinding(
    "E above D",
    Descriptor(E),
    Descriptor(D),
    CALTECH + OWN,
    {"caltech101": 0.5, "caltech256": 0.1},
  ),
  TransferFinding(
    "scales stacked above averaged (on VOC the paper saw no difference)",
    Descriptor(D, "stack"),
    Descriptor(D, "average"),
    VOC + CALTECH + OWN,
  ),
  TransferFinding(
    "scales stacked above their maximum",
    Descriptor(D, "stack"),
    Descriptor(D, "max"),
    CALTECH + OWN,
  ),
  TransferFinding(
    "five scales above three, averaged",
    Descriptor(D),
    Descriptor(D, scales=THREE),
    VOC,
    {"voc2007": 0.3},
  ),
  TransferFinding(
    "image and box above the image alone",
    Descriptor(BOTH, region="both"),
    Descriptor(BOTH, region="image"),
    ("actions",),
    {"actions": 4.8},
  ),
  TransferFinding(
    "D trained above D untrained",
    Descriptor(D, "stack"),
    Descriptor(D, "stack", trained=False),
    OWN,
  ),
  TransferFinding(
    "D trained above pixels", Descriptor(D, "stack"), Descriptor(()), OWN
  ),
)
DEFAULT = {"imagenet": (*VOC, *CALTECH, "actions"), "mini": ("classes",)}


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes the findings' .json and .md; returns the exit status."""
  options = parse("transfer_findings", arguments, add_protocols)
  try:
    return _write_findings(options, arguments)
  except InputError as error:
    print(f"transfer_findings: {error}", file=sys.stderr)
    return 2


def _write_findings(options: argparse.Namespace, arguments) -> int:
  transfers = Transfers(options)
  protocols = chosen_protocols(options, DEFAULT[options.profile])
  found, abouts = [], {}
  for item in ITEMS:
    for protocol in protocols:
      if protocol in item.protocols:
        better = transfers.by_seed(protocol, item.better)
        worse = transfers.by_seed(protocol, item.worse)
        abouts[protocol] = transfers.about(protocol)
        both = sorted(better.keys() & worse.keys())
        found.append(
          (
            item,
            protocol,
            [better[s] for s in both],
            [worse[s] for s in both],
            both,
          )
        )
  name_missing("transfer_findings", options)
  seeds = sorted({seed for *_, both in found for seed in both})
  if not seeds:
    return 2
  rows = [
    {
      "labels": [item.text, protocol],
      "paper": [item.paper.get(protocol)],
      "ours": [compare(better, worse, transfers.measure(protocol), seeds)]
      if better
      else None,
    }
    for item, protocol, better, worse, _ in found
  ]
  write(
    {
      "name": "transfer_findings",
      "title": "The paper's findings on features",
      "columns": ["Finding", "Protocol"],
      "measures": ["difference, points"],
      "rows": rows,
      "profile": options.profile,
      "seeds": seeds,
      "protocols": abouts,
      "caption": caption(options, abouts, seeds),
      "command": command("transfer_findings", arguments),
    },
    folder_of(options, abouts),
  )
  return 0


def compare(
  better: Sequence[list[Outcome]],
  worse: Sequence[list[Outcome]],
  measure: str,
  all_seeds: Sequence[int],
) -> dict:
  """What the outcomes say of a finding, see `output.difference_cell`.

  Args:
    better: of each seed, those of the descriptor said to be better.
    worse: those of the other one, on the same images.
    measure: a key of `outcomes.MEASURES`.
    all_seeds: those of all findings.
  """
  above, below = (
    [np.mean([value_of(o, measure) for o in found]) for found in side]
    for side in (better, worse)
  )
  # Divisions differ in their images: an interval each, then their mean.
  divisions = zip(
    zip(*better, strict=True), zip(*worse, strict=True), strict=True
  )
  intervals = [difference_interval(*pair, measure) for pair in divisions]
  low, high = np.mean(intervals, axis=0).tolist()
  differences = np.subtract(above, below).tolist()
  return difference_cell(differences, (low, high), all_seeds)


if __name__ == "__main__":
  sys.exit(main())
