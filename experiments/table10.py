"""Table 10: localization and the state of the art of 2014 (App. A.2).

  python -m experiments.table10 --profile=mini --runs=runs/shapes

Options: `python -m experiments.table10 --help`. Results of others are the
paper's citations.
"""

import sys

from experiments.locations import Locations
from experiments.runner import Row, Table, run_table
from experiments.table9 import BEST

TABLE = Table(
  name="table10",
  title="Table 10: localization and the state of the art (App. A.2)",
  columns=("Method",),
  rows=(
    Row(("VGG",), (26.9, 25.3), BEST),
    Row(("GoogLeNet",), (None, 26.7)),
    Row(("OverFeat",), (30.0, 29.9)),
    Row(("Krizhevsky et al.",), (None, 34.2)),
  ),
  measures={"localization error": "box", "on the server": None},
  systems=Locations,
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
