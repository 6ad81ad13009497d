"""Table 11: features of the networks on other data sets (App. B).

  python -m experiments.table11 --weights D=oxford:vgg16 E=oxford:vgg19
  python -m experiments.table11 --profile=mini --runs=runs/shapes \\
    --source=folder:clothing144

Higher is better. Profile imagenet measures the paper's four data sets; mini
measures networks of one data set on another, which --source names, beside
simpler descriptors. Options: `python -m experiments.table11 --help`.
"""

import sys

from experiments.transfer_table import (
  TransferRow,
  TransferTable,
  run_transfer_table,
)
from experiments.transfers import Descriptor

PAPER = ("voc2007", "voc2012", "caltech101", "caltech256")
NETWORKS = {"D": ("D",), "E": ("E",), "D & E": ("D", "E")}
FIGURES = {
  "D": (89.3, 89.0, "91.8 ± 1.0", "85.0 ± 0.2"),
  "E": (89.3, 89.0, "92.3 ± 0.5", "85.1 ± 0.3"),
  "D & E": (89.7, 89.3, "92.7 ± 0.5", "86.2 ± 0.3"),
}
OTHERS = {
  "Zeiler & Fergus (2013)": (None, 79.0, "86.5 ± 0.5", "74.2 ± 0.3"),
  "Chatfield et al. (2014)": (82.4, 83.2, "88.4 ± 0.6", "77.6 ± 0.1"),
  "He et al. (2014)": (82.4, None, "93.4 ± 0.5", None),
  "Wei et al. (2014)": (81.5, 81.7, None, None),
  "Wei et al. (2014), 2000 classes": (85.2, 90.3, None, None),
}

TABLE = TransferTable(
  name="table11",
  title="Table 11: features on other data sets (App. B)",
  columns=("Descriptor", "Scales"),
  rows={
    "imagenet": (
      *(
        TransferRow((name, ""), None, dict(zip(PAPER, figures, strict=True)))
        for name, figures in OTHERS.items()
      ),
      *(
        TransferRow(
          (f"VGG, {name}", ""),
          Descriptor(networks),
          dict(zip(PAPER, FIGURES[name], strict=True)),
        )
        for name, networks in NETWORKS.items()
      ),
    ),
    "mini": (
      TransferRow(("pixels", ""), Descriptor(())),
      TransferRow(
        ("D, untrained", "stack"), Descriptor(("D",), "stack", trained=False)
      ),
      *(
        TransferRow((name, aggregate), Descriptor(networks, aggregate))
        for name, networks in NETWORKS.items()
        for aggregate in ("average", "max", "stack")
      ),
    ),
  },
  protocols={"imagenet": PAPER, "mini": ("classes",)},
  drawn=Descriptor(("D", "E")),
)

if __name__ == "__main__":
  sys.exit(run_transfer_table(TABLE))
