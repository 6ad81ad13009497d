"""Table 9: localization over the whole image, five classes (App. A.2).

  python -m experiments.table9 --profile=mini --runs=runs/shapes

The classes are those of the best classification system; boxes are found
densely, merged, and rated by its two networks. Options: `python -m
experiments.table9 --help`.
"""

import sys

from experiments.locations import Localizer, Location, Locations
from experiments.runner import Row, Table, run_table
from experiments.table6 import pair

RATERS = ("D-256-512", "E-256-512")


def dense(*members: tuple[str, tuple[int, ...]], **options) -> Location:
  """Dense boxes of five classes by (run, Q set) members."""
  return Location(
    tuple(Localizer(run, scales) for run, scales in members),
    answers=pair("both"),
    raters=RATERS,
    **options,
  )


AT_256 = "D-256-pcr", (256,)
AT_384 = "D-384-pcr", (384,)
AT_TWO = "D-384-pcr", (352, 384)
BEST = dense(AT_256, AT_TWO)

TABLE = Table(
  name="table9",
  title="Table 9: localization, dense, five predicted classes (App. A.2)",
  columns=("S", "Q"),
  rows=(
    Row(("256", "256"), (29.5, None, None), dense(AT_256)),
    Row(("384", "384"), (28.2, 26.7, None), dense(AT_384)),
    Row(("384", "352, 384"), (27.5, None, None), dense(AT_TWO)),
    Row(("fusion", "256; 352, 384"), (26.9, 25.3, None), BEST),
  ),
  measures={
    "localization error": "box",
    "on the server": None,
    "class only": "class",
  },
  systems=Locations,
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
