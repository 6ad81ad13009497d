"""What a program does before it imports JAX; not for a library's caller."""

import gc

from vggjax import huge_pages

# Between two collections of garbage. Python's own 700 objects take a fifth of
# the time to the first step: imports and traces make millions, all of use.
OBJECTS = 50_000


def begin() -> None:
  """Sets up this process: huge pages, and garbage collected less often."""
  huge_pages.begin_again()
  gc.set_threshold(OBJECTS, 20, 20)
