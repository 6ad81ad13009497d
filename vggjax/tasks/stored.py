"""Arrays of a split at several scales: stored ones, or computed and stored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vggjax import distributed
from vggjax.evaluate.rows import Rows

# Where an array is stored, and what it is computed from.
Place = tuple[Path, dict[str, Any]]


def get(
  places: dict[int, Place],
  *,
  load: Callable[[Path, dict[str, Any]], Any | None],
  open_rows: Callable[[Path, dict[str, Any]], Rows],
  fill: Callable[[dict[int, Rows]], None] | None,
  keep: Callable[[Rows, Path, dict[str, Any]], Any],
) -> dict[int, Any] | None:
  """What is stored at each scale; the missing is computed, all scales at once.

  By several processes each fills its own share, and only the chief keeps.

  Args:
    places: by scale Q.
    load: reads what a place has; None if that is missing or of something else.
    open_rows: the rows in the making, in a folder, as far as they got.
    fill: computes the rows of the missing scales; None: nothing is computed.
    keep: moves complete rows to their place, and gives what `load` would.

  Returns:
    By scale, in the chief; {} in other processes. None if something had to be
    computed.
  """
  found = {}
  if distributed.is_chief():
    found = {q: load(*place) for q, place in places.items()}
  missing = distributed.gather([q for q in found if found[q] is None])[0]
  if missing and fill is None:
    return None
  if missing:
    rows = {}
    for q in missing:
      path, about = places[q]
      partial = path.with_name(f"{path.stem}.partial")
      rows[q] = open_rows(partial, about)
    fill(rows)
    distributed.gather("filled")
    for q in missing if distributed.is_chief() else []:
      found[q] = keep(rows[q], *places[q])
  return found
