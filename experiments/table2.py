"""Table 2: the number of parameters (Sect. 2.3).

  python -m experiments.table2

Counted at full width with 1000 outputs; needs no run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import vggjax
from experiments.options import RESULTS
from experiments.output import write
from vggjax.models.parameters import count_parameters

# networks of a column: millions of parameters in the paper
PAPER = {
  ("A", "A-LRN"): 133,
  ("B",): 133,
  ("C",): 134,
  ("D",): 138,
  ("E",): 144,
}


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes the table; returns the exit status."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.table2", description=__doc__.splitlines()[0]
  )
  parser.add_argument("--results", type=Path, default=RESULTS)
  options = parser.parse_args(arguments)
  rows = []
  for networks, millions in PAPER.items():
    counts = {count_parameters(vggjax.create_model(name)) for name in networks}
    [count] = counts
    rows.append(
      {
        "labels": [", ".join(networks)],
        "paper": [millions],
        "ours": [{"value": count / 1e6, "text": f"{count / 1e6:.6f}"}],
      }
    )
  write(
    {
      "name": "table2",
      "title": "Table 2: parameters (Sect. 2.3)",
      "columns": ["Network"],
      "measures": ["parameters in millions"],
      "rows": rows,
      "caption": "Full width, 1000 classes.",
      "command": "python -m experiments.table2",
    },
    options.results,
  )
  return 0


if __name__ == "__main__":
  sys.exit(main())
