"""What benchmarks share: peers by turns, medians, the ratio, the hardware."""

import importlib.metadata
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping

from vggjax.cores import core_count

PACKAGES = ("jax", "torch", "tensorflow", "tensorflow-cpu")


def alternate(
  peers: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
  """Median seconds of a call of each peer, which take turns.

  Each is called once before, so that nothing is timed that happens once. A peer
  must end its work before it returns, on other devices too.

  Args:
    peers: what is timed, by name.
    repeats: timed calls of each, at least 1.
  """
  for call in peers.values():
    call()
  seconds = {name: [] for name in peers}
  for _ in range(repeats):
    for name, call in peers.items():
      begin = time.perf_counter()
      call()
      seconds[name].append(time.perf_counter() - begin)
  return {name: statistics.median(of) for name, of in seconds.items()}


def print_ratio(theirs: float, ours: float) -> None:
  """Prints a benchmark's last line: a peer's time, or a limit, over ours."""
  print(f"ratio {theirs / ours:.2f}", flush=True)


def hardware(accelerators: str = "") -> str:
  """What computed, e.g. "2 cores of x86-64" or "1 x NVIDIA H200, 16 cores ...".

  Args:
    accelerators: how many and which; "": none.
  """
  cores = f"{core_count()} cores of {_machine()}"
  return f"{accelerators}, {cores}" if accelerators else cores


def hardware_slug(accelerators: str = "") -> str:
  """The same as a file's name: x86-64-2-cores, nvidia-h200, 8-x-nvidia-h200."""
  text = accelerators or f"{_machine()} {core_count()} cores"
  slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
  return slug.removeprefix("1-x-")


def _machine() -> str:
  return platform.machine().replace("_", "-").lower()


def versions() -> str:
  """Versions of Python and what computes, of what is installed; no imports."""
  found = [f"Python {platform.python_version()}"]
  for name in PACKAGES:
    try:
      found.append(f"{name} {importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
      continue
  return ", ".join(found)
