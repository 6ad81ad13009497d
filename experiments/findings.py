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

from experiments import runner
from experiments.shallow import center_crop
from experiments.systems import MissingRunError, System, Systems, single
from experiments.table6 import ILSVRC_SUBMISSION, pair
from vggjax.errors import InputError
from vggjax.evaluate.bootstrap import mean_interval, verdict


@dataclasses.dataclass(frozen=True)
class Finding:
  """One of the paper's findings.

  Attributes:
    text: what the paper found.
    section: where.
    worse: the system with the higher error.
    better: the other one.
    paper: the difference of their top-1 errors in the paper, points.
  """

  text: str
  section: str
  worse: System
  better: System
  paper: float


def jittered(network: str, *scales: int, protocol: str = "dense") -> System:
  """A scale-jittered network, at three scales unless others are given."""
  scales = scales or (256, 384, 512)
  return single(f"{network}-256-512", *scales, protocol=protocol)


def at_256(run: str) -> System:
  """A dense test at Q = 256."""
  return single(run, 256)


FINDINGS = (
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


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes findings.json and .md; returns the exit status."""
  options = runner.parse("findings", arguments)
  rows, missing = [], []
  try:
    for finding in FINDINGS:
      row = {
        "labels": [finding.text, finding.section],
        "paper": [finding.paper],
        "ours": None,
      }
      rows.append(row)
      try:
        row["ours"] = [compare(options.systems, finding)]
      except MissingRunError as error:
        missing.append(str(error))
    if missing:
      print(
        f"findings: missing {'; '.join(dict.fromkeys(missing))}",
        file=sys.stderr,
      )
    if len(missing) == len(FINDINGS):
      return 2
    runner.write(
      {
        "name": "findings",
        "title": "The paper's findings",
        "columns": ["Finding", "Sect."],
        "measures": ["difference of top-1 errors"],
        "rows": rows,
        **runner.about(options, "findings", arguments),
      },
      runner.results_folder(options),
    )
  except InputError as error:
    print(f"findings: {error}", file=sys.stderr)
    return 2
  return 0


def compare(systems: Systems, finding: Finding) -> dict:
  """The difference of two systems' errors on the same images and seeds."""
  worse, better = (
    systems.wrong_by_seed(system) for system in (finding.worse, finding.better)
  )
  seeds = sorted(worse.keys() & better.keys())
  if not seeds:
    raise MissingRunError(f"a seed that has all of: {finding.text}")
  differences = np.array([worse[seed] - better[seed] for seed in seeds])
  low, high = mean_interval(differences.mean(axis=0))
  value, word = float(differences.mean()), verdict(low, high)
  return {
    "value": value,
    "interval": [low, high],
    "seeds": differences.mean(axis=1).tolist(),
    "verdict": word,
    "text": f"{value:+.2f} [{low:+.2f}, {high:+.2f}], {word}",
  }


if __name__ == "__main__":
  sys.exit(main())
