"""Memory in huge pages, where Linux gives them only to who asks.

A training step of XLA on CPUs takes its memory anew, in pages of 4 KB: the
kernel's work on them, and the processor's on their addresses, is a tenth to a
fifth of the step. glibc asks for huge pages if a tunable says so when a program
begins; nothing sets that later.
"""

import os
import sys
from pathlib import Path

TUNABLES = "GLIBC_TUNABLES"
_TUNABLE = "glibc.malloc.hugetlb"
_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def begin_again() -> None:
  """Starts this program again with huge pages, in the same process.

  Nothing happens where they are there for all or for none, where C's library is
  not glibc, and where the environment already has the tunable (0: none).
  """
  if environment := wanted(os.environ, _mode()):
    os.execve(sys.executable, sys.orig_argv, environment)


def wanted(environment: dict[str, str], mode: str) -> dict[str, str] | None:
  """The environment with the tunable; None where it would change nothing.

  Args:
    environment: variables.
    mode: what Linux says of its huge pages, e.g. "always [madvise] never".
  """
  tunables = environment.get(TUNABLES, "")
  if "[madvise]" not in mode or _TUNABLE in tunables:
    return None
  before = f"{tunables}:" if tunables else ""
  return {**environment, TUNABLES: f"{before}{_TUNABLE}=1"}


def _mode() -> str:
  """Of Linux with glibc; else ""."""
  try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    return _MODE.read_text() if libc.startswith("glibc") else ""
  except (AttributeError, OSError, ValueError):  # Other systems.
    return ""
