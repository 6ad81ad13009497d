"""Table 5: dense evaluation, multi-crop, and both (Sect. 4.3).

  python -m experiments.table5 --profile=mini --runs=runs/shapes

Options: `python -m experiments.table5 --help`.
"""

import sys

from experiments.runner import Row, Table, run_table
from experiments.systems import single

NAMES = {
  "dense": "dense",
  "multicrop": "multi-crop",
  "both": "multi-crop & dense",
}


def row(network, protocol, top1, top5):
  """A row of a scale-jittered network at the paper's three scales."""
  system = single(f"{network}-256-512", 256, 384, 512, protocol=protocol)
  return Row((network, NAMES[protocol]), (top1, top5), system)


TABLE = Table(
  name="table5",
  title="Table 5: evaluation protocols, Q = {256, 384, 512} (Sect. 4.3)",
  columns=("Network", "Evaluation"),
  rows=(
    row("D", "dense", 24.8, 7.5),
    row("D", "multicrop", 24.6, 7.5),
    row("D", "both", 24.4, 7.2),
    row("E", "dense", 24.8, 7.5),
    row("E", "multicrop", 24.6, 7.4),
    row("E", "both", 24.4, 7.1),
  ),
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
