"""The paper's findings, each by the paired bootstrap of a difference.

  python -m experiments.findings --profile=mini --runs=runs/shapes

A finding says that one system's top-1 error is above another's. It holds, or
does not hold, where the 95 % interval of the difference over the images lies
on one side of 0, and is undecided where it contains 0. Options: `python -m
experiments.findings --help`.
"""

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np

from experiments.options import about, parse, results_folder
from experiments.output import difference_cell, write
from experiments.runner import name_missing, no_labels
from experiments.shallow import center_crop
from experiments.systems import System, Systems, single
from experiments.table6 import ILSVRC_SUBMISSION, pair
from vggjax.errors import InputError
from vggjax.evaluate.bootstrap import mean_interval


@dataclasses.dataclass(frozen=True)
class Finding:
  """One of the paper's findings.

  Attributes:
    text: what the paper found.
    section: where.
    worse: the system with the higher error.
    better: the other one.
    paper: the difference of their errors in the paper, points; None: the
      paper does not give it.
  """

  text: str
  section: str
  worse: System
  better: System
  paper: float | None


@dataclasses.dataclass(frozen=True)
class Findings:
  """Findings that are measured alike.

  Attributes:
    name: of their files.
    title: for people.
    items: in the paper's order.
    measure: of `Systems.wrong_by_seed`.
    measured: the same for people.
    systems: what measures the systems.
  """

  name: str
  title: str
  items: tuple[Finding, ...]
  measure: int | str = 1
  measured: str = "difference of top-1 errors"
  systems: type[Systems] = Systems


def jittered(network: str, *scales: int, protocol: str = "dense") -> System:
  """A scale-jittered network, at three scales unless others are given."""
  scales = scales or (256, 384, 512)
  return single(f"{network}-256-512", *scales, protocol=protocol)


def at_256(run: str) -> System:
  """A dense test at Q = 256."""
  return single(run, 256)


ITEMS = (
  Finding(
    "LRN does not help: A-LRN above A",
    "4.1",
    at_256("A-LRN-256"),
    at_256("A-256"),
    0.1,
  ),
  Finding(
    "depth: A (11 layers) above B (13)",
    "4.1",
    at_256("A-256"),
    at_256("B-256"),
    0.9,
  ),
  Finding(
    "depth: B (13 layers) above D (16)",
    "4.1",
    at_256("B-256"),
    at_256("D-256"),
    1.7,
  ),
  Finding(
    "depth: A (11 layers) above E (19)",
    "4.1",
    at_256("A-256"),
    at_256("E-256"),
    2.3,
  ),
  Finding(
    "non-linearity: B above C (1x1 layers added)",
    "4.1",
    at_256("B-256"),
    at_256("C-256"),
    0.6,
  ),
  Finding(
    "spatial context: C (1x1) above D (3x3)",
    "4.1",
    at_256("C-256"),
    at_256("D-256"),
    1.1,
  ),
  Finding(
    "small filters: B-shallow (5x5) above B (3x3), central crop",
    "4.1",
    center_crop("B-shallow-256"),
    center_crop("B-256"),
    7.0,
  ),
  *(
    Finding(
      f"scale jitter: {net} at S = 384 above S in [256;512], Q = 384",
      "4.1",
      single(f"{net}-384", 384),
      jittered(net, 384),
      paper,
    )
    for net, paper in (("C", 0.8), ("D", 1.2), ("E", 1.4))
  ),
  *(
    Finding(
      f"multi-scale: {net} jittered, Q = 384 above Q = 256, 384, 512",
      "4.2",
      jittered(net, 384),
      jittered(net),
      paper,
    )
    for net, paper in (("C", 1.0), ("D", 0.8), ("E", 0.7))
  ),
  *(
    Finding(
      f"{net}: dense above multi-crop",
      "4.3",
      jittered(net),
      jittered(net, protocol="multicrop"),
      0.2,
    )
    for net in "DE"
  ),
  *(
    Finding(
      f"{net}: {name} above both together",
      "4.3",
      jittered(net, protocol=protocol),
      jittered(net, protocol="both"),
      paper,
    )
    for net in "DE"
    for name, protocol, paper in (
      ("dense", "dense", 0.4),
      ("multi-crop", "multicrop", 0.2),
    )
  ),
  *(
    Finding(
      f"fusion: {net} above D & E, both protocols",
      "4.4",
      jittered(net, protocol="both"),
      pair("both"),
      0.7,
    )
    for net in "DE"
  ),
  Finding(
    "fusion: 7 networks above D & E, both protocols",
    "4.4",
    ILSVRC_SUBMISSION,
    pair("both"),
    1.0,
  ),
)


FINDINGS = Findings("findings", "The paper's findings", ITEMS)


def run_findings(
  findings: Findings, arguments: Sequence[str] | None = None
) -> int:
  """Writes the findings' .json and .md; returns the exit status."""
  try:
    options = parse(findings.name, arguments, systems=findings.systems)
    return _write_findings(findings, options, arguments)
  except InputError as error:
    print(f"{findings.name}: {error}", file=sys.stderr)
    return 2


def _write_findings(findings, options, arguments):
  systems = options.systems
  if not systems.has_labels():
    raise no_labels(systems)
  differences = [
    subtract(systems, item, findings.measure) for item in findings.items
  ]
  name_missing(findings.name, options)
  seeds = sorted(set().union(*differences))
  if not seeds:
    return 2
  rows = [
    {
      "labels": [finding.text, finding.section],
      "paper": [finding.paper],
      "ours": [compare(list(by_seed.values()), seeds)] if by_seed else None,
    }
    for finding, by_seed in zip(findings.items, differences, strict=True)
  ]
  write(
    {
      "name": findings.name,
      "title": findings.title,
      "columns": ["Finding", "Sect."],
      "measures": [findings.measured],
      "rows": rows,
      **about(options, findings.name, arguments, seeds),
    },
    results_folder(options),
  )
  return 0


def subtract(
  systems: Systems, finding: Finding, measure: int | str = 1
) -> dict[int, np.ndarray]:
  """The difference of two systems' errors on each image, float [N], by seed.

  Of the seeds that have both systems.
  """
  worse, better = (
    systems.wrong_by_seed(system, measure)
    for system in (finding.worse, finding.better)
  )
  return {seed: worse[seed] - better[seed] for seed in worse if seed in better}


def compare(
  differences: Sequence[np.ndarray], all_seeds: Sequence[int]
) -> dict:
  """What the differences on the images say of a finding.

  Args:
    differences: float [N] for each seed.
    all_seeds: those of all findings.
  """
  differences = np.array(differences)
  interval = mean_interval(differences.mean(axis=0))
  return difference_cell(differences.mean(axis=1).tolist(), interval, all_seeds)


if __name__ == "__main__":
  sys.exit(run_findings(FINDINGS))
