"""Tries mutated inputs; a line each on stdout, before and after.

python -m fuzz.worker NAME FOLDER SEED START STOP MEGABYTES
"""

import importlib
import os
import resource
import sys
import traceback
from pathlib import Path

from fuzz.mutate import mutated


def main(name, folder, seed, start, stop, megabytes):
  # The libraries print to the real ones.
  lines = os.fdopen(os.dup(1), "w", buffering=1)
  silent = os.open(os.devnull, os.O_WRONLY)
  os.dup2(silent, 1)
  os.dup2(silent, 2)
  target = importlib.import_module(name)
  pool = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
  for data in pool:
    outcome = target.check(data)
    if outcome == "refused":
      raise AssertionError("a seed is refused")
  used = int(Path("/proc/self/statm").read_text().split()[0])
  limit = used * resource.getpagesize() + int(megabytes) * 2**20
  resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
  print("ready", file=lines)
  for number in range(int(start), int(stop)):
    data = mutated(pool, target.TOKENS, int(seed), number)
    try:
      outcome = target.check(data)
    except Exception as error:
      trace = traceback.extract_tb(error.__traceback__)[-1]
      text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
      outcome = f"! {text} ({Path(trace.filename).name}:{trace.lineno})"
    print(outcome, file=lines)


if __name__ == "__main__":
  main(*sys.argv[1:])
