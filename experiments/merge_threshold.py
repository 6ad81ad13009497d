"""The localization error by merge threshold (App. A.1), to choose it by.

  python -m experiments.merge_threshold --profile=mini --runs=runs/shapes \\
    --split=validation

Of Table 9's rows, on the split that the threshold is tuned on. Options: `python
-m experiments.merge_threshold --help`.
"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments.locations import Locations
from experiments.options import parse
from experiments.runner import name_missing
from experiments.systems import MissingRunError
from experiments.table9 import TABLE
from vggjax.errors import InputError
from vggjax.tasks.answers import wrong

THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.3)


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints the errors; returns the exit status."""
  try:
    options = parse("merge_threshold", arguments, systems=Locations)
    return print_errors(options)
  except InputError as error:
    print(f"merge_threshold: {error}", file=sys.stderr)
    return 2


def print_errors(options) -> int:
  """Prints a line for each row of Table 9, and one of their mean."""
  locations = options.systems
  print("threshold", *(f"{t:6.1f}" for t in THRESHOLDS))
  found = []
  for row in TABLE.rows:
    try:
      errors = [_error(locations, row.system, t) for t in THRESHOLDS]
    except MissingRunError as error:
      locations.missing.setdefault(str(error), error)
      continue
    found.append(errors)
    print(" ".join(row.labels), *(f"{e:6.2f}" for e in errors))
  name_missing("merge_threshold", options)
  if not found:
    return 2
  means = np.mean(found, axis=0)
  print("mean", *(f"{e:6.2f}" for e in means))
  print(f"least mean error at merge_threshold={THRESHOLDS[means.argmin()]}")
  return 0


def _error(locations, system, threshold):
  seeds = locations.seeds()
  errors = []
  for seed in seeds:
    _, source = locations.config_and_source(system, seed)
    found = locations.answers(system, seed, threshold)
    errors.append(wrong(found, source)["box"])
  return float(np.mean(errors))


if __name__ == "__main__":
  sys.exit(main())
