"""Table 8: localization from the central crop (App. A.2).

  python -m experiments.table8 --profile=mini --runs=runs/shapes

The box of the true class. Options: `python -m experiments.table8 --help`.
"""

import sys

from experiments.locations import Localizer, Location, Locations
from experiments.runner import Row, Table, run_table


def center(run: str, scale: int) -> Location:
  """The true class's box in the central crop."""
  return Location((Localizer(run, (scale,)),), protocol="center")


MEAN_BOX = Location(())

TABLE = Table(
  name="table8",
  title="Table 8: localization, central crop, true class (App. A.2)",
  columns=("Trained layers", "Regression", "S"),
  rows=(
    Row(("FC", "SCR", "384"), (36.4,), center("D-384-scr-fc", 384)),
    Row(("FC", "PCR", "384"), (34.3,), center("D-384-pcr-fc", 384)),
    Row(("all", "PCR", "384"), (33.1,), center("D-384-pcr", 384)),
    Row(("all", "PCR", "256"), (None,), center("D-256-pcr", 256)),
    Row(("none: the mean box, centered", "", ""), (None,), MEAN_BOX),
  ),
  measures={"localization error": "box"},
  systems=Locations,
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
