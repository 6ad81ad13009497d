"""Table 4: the networks at several test scales, dense (Sect. 4.2).

  python -m experiments.table4 --profile=mini --runs=runs/shapes

Options: `python -m experiments.table4 --help`.
"""

import sys

from experiments.runner import Row, Table, run_table
from experiments.systems import single

# S: three Q, {S - 32, S, S + 32} or {S_min, their middle, S_max}
TEST_SCALES = {
  "256": (224, 256, 288),
  "384": (352, 384, 416),
  "[256;512]": (256, 384, 512),
}


def row(network, train_scale, run, top1, top5):
  """A row of one dense test at the three scales that suit S."""
  scales = TEST_SCALES[train_scale]
  labels = network, train_scale, ", ".join(map(str, scales))
  return Row(labels, (top1, top5), single(run, *scales))


TABLE = Table(
  name="table4",
  title="Table 4: multiple test scales (Sect. 4.2)",
  columns=("Network", "S", "Q"),
  rows=(
    row("B", "256", "B-256", 28.2, 9.6),
    row("C", "256", "C-256", 27.7, 9.2),
    row("C", "384", "C-384", 27.8, 9.2),
    row("C", "[256;512]", "C-256-512", 26.3, 8.2),
    row("D", "256", "D-256", 26.6, 8.6),
    row("D", "384", "D-384", 26.5, 8.6),
    row("D", "[256;512]", "D-256-512", 24.8, 7.5),
    row("E", "256", "E-256", 26.9, 8.7),
    row("E", "384", "E-384", 26.7, 8.6),
    row("E", "[256;512]", "E-256-512", 24.8, 7.5),
  ),
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
