"""B against a shallow network of 5x5 convolutions (Sect. 4.1).

  python -m experiments.shallow --profile=mini --runs=runs/shapes

The central crop of each image; the paper gives the difference alone: the
shallow network's top-1 error was 7 points higher. `experiments.findings` has
the interval of our difference. Options: `python -m experiments.shallow --help`.
"""

import sys

from experiments.runner import Row, Table, run_table
from experiments.systems import single


def center_crop(run):
  """The central crop at Q = 256."""
  return single(run, 256, protocol="center")


TABLE = Table(
  name="shallow",
  title="B and B-shallow on the central crop (Sect. 4.1; paper: 7 points more)",
  columns=("Network", "convolutions"),
  rows=(
    Row(("B", "two 3x3 a block"), (None, None), center_crop("B-256")),
    Row(
      ("B-shallow", "one 5x5 a block"),
      (None, None),
      center_crop("B-shallow-256"),
    ),
  ),
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
