"""Runs a target in bounded processes, or under atheris."""

import argparse
import collections
import dataclasses
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from fuzz.mutate import mutated

TESTS = Path(__file__).parents[1]
START_SECONDS = 180


@dataclasses.dataclass
class Report:
  """What became of the inputs.

  Attributes:
    outcomes: how many of each word that `check` returned.
    findings: number of the input, and what happened.
    slowest: seconds, of the slowest input.
  """

  outcomes: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  findings: dict[int, str] = dataclasses.field(default_factory=dict)
  slowest: float = 0.0


def run(
  target: ModuleType,
  *,
  runs: int,
  seed: int = 0,
  seconds: float = 20,
  megabytes: int = 3000,
  keep: Path | None = None,
) -> Report:
  """Tries mutated inputs.

  Args:
    target: a module with a target.
    runs: how many inputs.
    seed: of their changes.
    seconds: an input that takes longer hangs.
    megabytes: of memory that inputs may take.
    keep: where inputs with findings are written.
  """
  name = target.__spec__.name
  report = Report()
  with tempfile.TemporaryDirectory() as folder:
    seeds = target.seeds()
    for key, data in seeds.items():
      (Path(folder) / key).write_bytes(data)
    done = 0
    while done < runs:
      begun = done
      arguments = (name, folder, seed, done, runs, megabytes)
      for outcome, took in _outcomes(arguments, seconds):
        report.slowest = max(report.slowest, took)
        if outcome.startswith("! "):
          report.findings[done] = outcome[2:]
        else:
          report.outcomes[outcome] += 1
        done += 1
      if done == begun:
        raise RuntimeError(f"{name} does not start")
    if keep is not None:
      keep.mkdir(parents=True, exist_ok=True)
      pool = [seeds[key] for key in sorted(seeds)]
      for number in report.findings:
        data = mutated(pool, target.TOKENS, seed, number)
        (keep / f"{name.rpartition('.')[2]}-{seed}-{number}").write_bytes(data)
  return report


def _outcomes(arguments, seconds) -> Iterator[tuple[str, float]]:
  """Of a process's inputs, the last of which may have ended it."""
  paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
  process = subprocess.Popen(
    [sys.executable, "-m", "fuzz.worker", *map(str, arguments)],
    stdout=subprocess.PIPE,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
  )
  rest, limit, buffer, is_ready = (
    arguments[4] - arguments[3],
    START_SECONDS,
    b"",
    False,
  )
  since = time.monotonic()
  with process, selectors.DefaultSelector() as ready:
    ready.register(process.stdout, selectors.EVENT_READ)
    try:
      while rest:
        if not ready.select(max(0, since + limit - time.monotonic())):
          process.kill()
          if is_ready:
            yield f"! hangs: over {seconds} s", seconds
          return
        chunk = os.read(process.stdout.fileno(), 2**16)
        if not chunk:
          if is_ready:
            yield f"! ends the interpreter: status {process.wait()}", 0.0
          return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
          if not is_ready:
            is_ready, limit = True, seconds
          else:
            rest -= 1
            yield line.decode(), time.monotonic() - since
          since = time.monotonic()
    finally:
      process.kill()


def run_atheris(target: ModuleType, runs: int, keep: Path | None) -> int:
  """Follows the mutations that reach new lines; returns the exit status."""
  with tempfile.TemporaryDirectory() as folder:
    for key, data in target.seeds().items():
      (Path(folder) / key).write_bytes(data)
    name = target.__spec__.name.rpartition(".")[2]
    code = (
      "import importlib, sys, atheris\n"
      "with atheris.instrument_imports(include=['vggjax']):\n"
      f"  target = importlib.import_module('fuzz.{name}')\n"
      "  for seed in target.seeds().values(): target.check(seed)\n"
      "atheris.Setup(sys.argv, lambda data: target.check(data) and None)\n"
      "atheris.Fuzz()\n"
    )
    place = f"{keep}/" if keep else f"{folder}/"
    command = [sys.executable, "-c", code, folder, f"-runs={runs}"]
    command += [
      "-timeout=20",
      "-rss_limit_mb=6000",
      f"-artifact_prefix={place}",
    ]
    paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    env = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(command, env=env, check=False).returncode


def main(target: ModuleType) -> int:
  """The command line of a target; returns its exit status."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--runs", type=int, default=10_000)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--keep", type=Path, help="folder for what is found")
  parser.add_argument("--atheris", action="store_true")
  options = parser.parse_args()
  if options.atheris:
    return run_atheris(target, options.runs, options.keep)
  start = time.monotonic()
  report = run(target, runs=options.runs, seed=options.seed, keep=options.keep)
  for number, text in report.findings.items():
    print(f"input {number}: {text}")
  counts = ", ".join(f"{n} {word}" for word, n in report.outcomes.most_common())
  print(
    f"{options.runs} inputs in {time.monotonic() - start:.0f} s, the slowest "
    f"{report.slowest:.1f} s: {counts}; findings {len(report.findings)}"
  )
  return bool(report.findings)
