"""Table 7: comparison with the state of the art of 2014 (Sect. 4.5).

  python -m experiments.table7 --profile=mini --runs=runs/shapes

Options: `python -m experiments.table7 --help`. All results without outside
training data; those of others are the paper's citations.
"""

import sys

from experiments.runner import Row, Table, run_table
from experiments.systems import single
from experiments.table6 import ILSVRC_SUBMISSION, pair

TABLE = Table(
  name="table7",
  title="Table 7: comparison with the state of the art (Sect. 4.5)",
  columns=("Method",),
  rows=(
    Row(("VGG, 2 nets, multi-crop & dense",), (23.7, 6.8, 6.8), pair("both")),
    Row(
      ("VGG, 1 net, multi-crop & dense",),
      (24.4, 7.1, 7.0),
      single("E-256-512", 256, 384, 512, protocol="both"),
    ),
    Row(
      ("VGG, ILSVRC submission, 7 nets, dense",),
      (24.7, 7.5, 7.3),
      ILSVRC_SUBMISSION,
    ),
    # One cell of the paper's for both splits.
    Row(("GoogLeNet, 1 net",), (None, 7.9, 7.9)),
    Row(("GoogLeNet, 7 nets",), (None, 6.7, 6.7)),
    Row(("MSRA, 11 nets",), (None, None, 8.1)),
    Row(("MSRA, 1 net",), (27.9, 9.1, 9.1)),
    Row(("Clarifai, several nets",), (None, None, 11.7)),
    Row(("Clarifai, 1 net",), (None, None, 12.5)),
    Row(("Zeiler & Fergus, 6 nets",), (36.0, 14.7, 14.8)),
    Row(("Zeiler & Fergus, 1 net",), (37.5, 16.0, 16.1)),
    Row(("OverFeat, 7 nets",), (34.0, 13.2, 13.6)),
    Row(("OverFeat, 1 net",), (35.7, 14.2, None)),
    Row(("Krizhevsky et al., 5 nets",), (38.1, 16.4, 16.4)),
    Row(("Krizhevsky et al., 1 net",), (40.7, 18.2, None)),
  ),
  measures={"top-1": 1, "top-5": 5, "top-5 on the server": None},
)

if __name__ == "__main__":
  sys.exit(run_table(TABLE))
