"""Table 6: fusion of several networks (Sect. 4.4).

  python -m experiments.table6 --profile=mini --runs=runs/shapes

Options: `python -m experiments.table6 --help`. The test labels of ILSVRC are
hidden: `--split=test` writes a file for the server instead.
"""

import sys

from experiments.runner import Row, Table, run_table
from experiments.systems import Member

ILSVRC_SUBMISSION = (
  Member("D-256", (224, 256, 288)),
  Member("D-384", (352, 384, 416)),
  Member("D-256-512-fc", (256, 384, 512)),
  Member("C-256", (224, 256, 288)),
  Member("C-384", (352, 384, 416)),
  Member("E-256", (224, 256, 288)),
  Member("E-384", (352, 384, 416)),
)


def pair(protocol):
  """The two best networks, with scale jitter."""
  scales = 256, 384, 512
  return tuple(
    Member(run, scales, protocol) for run in ("D-256-512", "E-256-512")
  )


TABLE = Table(
  name="table6",
  title="Table 6: fusion of networks (Sect. 4.4)",
  columns=("Networks",),
  rows=(
    Row(
      ("7 networks of the ILSVRC submission, dense",),
      (24.7, 7.5, 7.3),
      ILSVRC_SUBMISSION,
    ),
    Row(("D & E [256;512], dense",), (24.0, 7.1, 7.0), pair("dense")),
    Row(("D & E [256;512], multi-crop",), (23.9, 7.2, None), pair("multicrop")),
    Row(("D & E [256;512], both",), (23.7, 6.8, 6.8), pair("both")),
  ),
  measures={"top-1": 1, "top-5": 5, "top-5 on the server": None},
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
