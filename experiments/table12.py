"""Table 12: action classification by features of the networks (App. B).

  python -m experiments.table12 --weights D=oxford:vgg16 E=oxford:vgg19
  python -m experiments.table12 --profile=mini --runs=runs/clothing144 \\
    --source=shapes --protocols=classes

Higher is better. The person's box is given; the image alone is described, or
both, stacked. The paper's figures are of the hidden test set, ours of the
validation split. Options: `python -m experiments.table12 --help`.
"""

import sys

from experiments.transfer_table import (
  TransferRow,
  TransferTable,
  run_transfer_table,
)
from experiments.transfers import Descriptor

OTHERS = {
  "Oquab et al. (2014), 1512 classes": 70.2,
  "Gkioxari et al. (2014)": 73.6,
  "Hoai (2014)": 76.3,
}
BOTH = ("D", "E")
OURS = (
  TransferRow(
    ("VGG, D & E, image only",),
    Descriptor(BOTH, region="image"),
    {"actions": 79.2},
  ),
  TransferRow(
    ("VGG, D & E, image and box",),
    Descriptor(BOTH, region="both"),
    {"actions": 84.0},
  ),
)

TABLE = TransferTable(
  name="table12",
  title="Table 12: image and box, features of D and E (App. B)",
  columns=("Method",),
  rows={
    "imagenet": (
      *(
        TransferRow((name,), None, {"actions": figure})
        for name, figure in OTHERS.items()
      ),
      *OURS,
    ),
    "mini": (
      *OURS,
      TransferRow(("VGG, D & E, box only",), Descriptor(BOTH, region="box")),
    ),
  },
  protocols={"imagenet": ("actions",), "mini": ("classes",)},
)

if __name__ == "__main__":
  sys.exit(run_transfer_table(TABLE))
