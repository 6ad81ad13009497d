"""Table 3: the networks at a single test scale, dense (Sect. 4.1).

  python -m experiments.table3 --profile=mini --runs=runs/shapes

Options: `python -m experiments.table3 --help`.
"""

import sys

from experiments.runner import Row, Table, run_table
from experiments.systems import single


def row(network, train_scale, test_scale, run, top1, top5):
  """A row of one dense test at scale Q."""
  labels = network, train_scale, str(test_scale)
  return Row(labels, (top1, top5), single(run, test_scale))


TABLE = Table(
  name="table3",
  title="Table 3: single test scale (Sect. 4.1)",
  columns=("Network", "S", "Q"),
  rows=(
    row("A", "256", 256, "A-256", 29.6, 10.4),
    row("A-LRN", "256", 256, "A-LRN-256", 29.7, 10.5),
    row("B", "256", 256, "B-256", 28.7, 9.9),
    row("C", "256", 256, "C-256", 28.1, 9.4),
    row("C", "384", 384, "C-384", 28.1, 9.3),
    row("C", "[256;512]", 384, "C-256-512", 27.3, 8.8),
    row("D", "256", 256, "D-256", 27.0, 8.8),
    row("D", "384", 384, "D-384", 26.8, 8.7),
    row("D", "[256;512]", 384, "D-256-512", 25.6, 8.1),
    row("E", "256", 256, "E-256", 27.3, 9.0),
    row("E", "384", 384, "E-384", 26.9, 8.7),
    row("E", "[256;512]", 384, "E-256-512", 25.5, 8.0),
  ),
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
