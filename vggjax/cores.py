"""The processor cores that there are."""

import os


def core_count() -> int:
  """The cores that this process may use; those of a container, not on macOS."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
