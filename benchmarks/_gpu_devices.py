"""The training step on several devices (Sect. 3.3)."""

import functools

from benchmarks._gpu_bench import (
  Bench,
  Case,
  Result,
  random_params,
  time_peers,
)
from benchmarks._gpu_train import TrainStep, random_batch

NETWORK, PRECISION = "D", "bf16"
COUNTS = 2, 4, 8
# Of the paper's four; its batch is that of all devices together.
PAPER_SPEEDUPS = {4: 3.75}
BATCH = 256


def cases(bench: Bench) -> list[Case]:
  """One for each number of devices, as far as they are here."""
  counts = [n for n in COUNTS if n <= len(bench.devices)]
  if not counts:
    return [Case("devices", "several devices", _missing)]
  return [
    Case(
      "devices",
      f"train {NETWORK}, batch {_batch(bench)}, {PRECISION}, {n} devices",
      functools.partial(measure, num_devices=n),
      rank=1,
    )
    for n in counts
  ]


def _missing(bench: Bench) -> Result:
  return Result(note=f"{len(bench.devices)} device here: not measured")


def _batch(bench: Bench) -> int:
  """The paper's batch, or what splits over eight in a tiny run."""
  return min(BATCH, max(bench.sizes.batches))


def measure(bench: Bench, num_devices: int) -> Result:
  """The speed-up at the same global batch, and at the same batch a device."""
  params = random_params(bench, NETWORK)
  steps, total = bench.sizes.steps, _batch(bench)

  def make(count, batch_size):
    step = TrainStep(
      bench,
      NETWORK,
      params,
      random_batch(bench, batch_size),
      precision=PRECISION,
      num_devices=count,
    )
    return lambda: step.run(steps)

  sizes = {
    "ours": (num_devices, total),
    "one": (1, total),
    "the same batch each": (num_devices, num_devices * total),
  }
  seconds, left_out = time_peers(
    {name: functools.partial(make, *of) for name, of in sizes.items()},
    bench.sizes.repeats,
  )
  rates = {name: steps * sizes[name][1] / of for name, of in seconds.items()}
  notes = [f"{name} does not fit" for name in left_out]
  for name in ("the same batch each", "ours"):
    if name in rates and "one" in rates:
      what = f"batch {sizes[name][1]}"
      notes.insert(0, f"{rates[name] / rates['one']:.2f} times one at {what}")
  if num_devices in PAPER_SPEEDUPS:
    notes.append(f"paper {PAPER_SPEEDUPS[num_devices]}")
  return Result(
    rates["ours"],
    flops=rates["ours"] * 6 * bench.macs(NETWORK),
    ceiling=num_devices * bench.ceilings[PRECISION],
    note="; ".join(notes),
  )
