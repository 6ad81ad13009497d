"""Trains the paper's networks, stage by stage (Sect. 3.1, App. A).

  python -m experiments.train_all --profile=mini --source=shapes \\
    --runs=runs/shapes [--only=D-256-512,E-256] [--seeds=3] [--dry_run]

Walks the runs of configs/classification.py in order: A; A-LRN and B-shallow at
random; B, C, D, E from A; S = 384 from S = 256; S in [256, 512] from S = 384.
--only=localization: those of configs/localization.py, each from the
classification run of its S.
A finished run is skipped, a stopped one continued. Runs stand in
RUNS/seed-0/A-256 and so on. Any further --config.KEY=VALUE goes to every run.

Cost: profile mini, an estimated 100 minutes a seed on two CPU cores.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from experiments.chain import (
  SOURCES,
  Chain,
  add_chain_options,
  parse_chain,
  progress,
  with_sources,
)
from vggjax.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints the plan, then trains; returns the exit status."""
  options, chain = parse(arguments)
  try:
    runs = with_sources(options.only.split(","))
    steps = [(run, seed) for seed in range(options.seeds) for run in runs]
    states = {step: progress(chain, *step) for step in steps}
  except InputError as error:
    print(f"train_all: {error}", file=sys.stderr)
    return 2
  for run, seed in steps:
    source = SOURCES[run] or "random"
    text = states[run, seed].text
    print(f"{chain.workdir(run, seed)}  from {source}: {text}")
  if blocked := [s for s in steps if states[s].state == "another config"]:
    folder = chain.workdir(*blocked[0])
    print(
      f"train_all: {folder} holds a run of {states[blocked[0]].text}; choose "
      "another --runs, or move that folder away",
      file=sys.stderr,
    )
    return 2
  todo = [step for step in steps if states[step].state != "finished"]
  if options.dry_run:
    print(f"{len(todo)} of {len(steps)} runs to train")
    return 0
  return train(chain, todo)


def parse(
  arguments: Sequence[str] | None,
) -> tuple[argparse.Namespace, Chain]:
  """The options, and the chain."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.train_all",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add_chain_options(parser)
  parser.add_argument(
    "--only",
    default="classification",
    help="runs, comma-separated; classification (the default) or localization "
    "stands for all of theirs",
  )
  parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to N - 1")
  parser.add_argument("--dry_run", action="store_true", help="only the plan")
  options, chain = parse_chain(parser, arguments)
  if options.seeds < 1:
    parser.error(f"--seeds is {options.seeds}; it must be at least 1")
  return options, chain


def train(chain: Chain, todo: Sequence[tuple[str, int]]) -> int:
  """Trains runs one after the other, each in a process of its own."""
  for number, (run, seed) in enumerate(todo, start=1):
    command = [sys.executable, "-m", "vggjax.main"]
    command += chain.arguments(run, seed)
    print(f"[{number}/{len(todo)}] {' '.join(command[1:])}", flush=True)
    begin = time.monotonic()
    try:
      status = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
      status = 130
    if status:
      print(
        f"train_all: {run} of seed {seed} ended with status {status}; the same "
        "command goes on there",
        file=sys.stderr,
      )
      return status
    minutes = (time.monotonic() - begin) / 60
    print(f"{run} of seed {seed} took {minutes:.1f} minutes", flush=True)
  print(f"all {len(todo)} runs are trained")
  return 0


if __name__ == "__main__":
  sys.exit(main())
