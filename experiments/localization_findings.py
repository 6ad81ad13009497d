"""The paper's findings on localization, by the paired bootstrap (App. A.2).

  python -m experiments.localization_findings --profile=mini --runs=runs/shapes

As `experiments.findings`, of the top-5 localization error.
"""

import dataclasses
import sys

from experiments.findings import Finding, Findings, run_findings
from experiments.locations import Locations
from experiments.table8 import MEAN_BOX, center
from experiments.table9 import AT_256, AT_384, AT_TWO, BEST, dense

DENSE = dense(AT_384)
FINDINGS = Findings(
  "localization_findings",
  "The paper's findings on localization",
  (
    Finding(
      "shared regression (SCR) above per-class (PCR), FC layers trained",
      "A.2",
      center("D-384-scr-fc", 384),
      center("D-384-pcr-fc", 384),
      2.1,
    ),
    Finding(
      "FC layers trained above all layers trained, PCR",
      "A.2",
      center("D-384-pcr-fc", 384),
      center("D-384-pcr", 384),
      1.2,
    ),
    Finding(
      "central crop, true class, above dense, five predicted classes",
      "A.2",
      center("D-384-pcr", 384),
      DENSE,
      4.9,
    ),
    Finding(
      "S = 256 at Q = 256 above S = 384 at Q = 384",
      "A.2",
      dense(AT_256),
      DENSE,
      1.3,
    ),
    Finding(
      "one scale above two: Q = 384 above Q = 352, 384",
      "A.2",
      DENSE,
      dense(AT_TWO),
      0.7,
    ),
    Finding(
      "fusion: S = 384 above S = 256 and S = 384",
      "A.2",
      dense(AT_TWO),
      BEST,
      0.6,
    ),
    Finding(
      "pooling offsets, left out by the paper: none above 2 x 2, fusion",
      "A.1",
      BEST,
      dataclasses.replace(BEST, pool5_offsets=2),
      None,
    ),
    *(
      Finding(
        f"not in the paper: the mean box, centered, above {name}",
        "A.2",
        MEAN_BOX,
        center(run, 384),
        None,
      )
      for name, run in (("SCR", "D-384-scr-fc"), ("PCR", "D-384-pcr-fc"))
    ),
  ),
  measure="box",
  measured="difference of localization errors",
  systems=Locations,
)

if __name__ == "__main__":
  sys.exit(run_findings(FINDINGS))
