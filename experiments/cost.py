"""What reproducing the paper on ImageNet takes: time, devices, money.

  python -m experiments.cost --images_per_second=3400 --price=3 \\
    --basis="assumed: 40 % of 790 TFLOP/s"

Computed from one throughput, that of training net D at 224 pixels on one
device: other networks and evaluation count by their multiply-accumulates (a
training step is three forward passes). Upper bounds: every run lasts the
paper's 74 epochs; with the plateau schedule it may end earlier.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import vggjax
from experiments import table3, table4, table5, table6
from experiments.options import RESULTS
from experiments.systems import Member
from vggjax.configs.classification import RUNS
from vggjax.evaluate.store import PROTOCOLS
from vggjax.models.parameters import count_macs

TRAIN_IMAGES, TEST_IMAGES, EPOCHS = 1_281_167, 50_000, 74
# Of ImageNet's validation images, long side over short; 4 : 3 is the mode.
ASPECT = 4 / 3
CROPS = 25
MIRRORED = 2


def forward_macs(network: str, height: int, width: int) -> int:
  """Multiply-accumulates of a full-size network on one image."""
  return count_macs(vggjax.create_model(network), height, width)


def train_macs(run: str) -> float:
  """Multiply-accumulates of a run of 74 epochs; FC alone needs no gradient
  of the convolutions, whose forward pass remains.
  """
  network = RUNS[run][0]
  passes = 1 if run.endswith("-fc") else 3
  return passes * forward_macs(network, 224, 224) * TRAIN_IMAGES * EPOCHS


def test_macs(part: str, run: str, scale: int) -> float:
  """Those of one protocol at one Q over the validation images."""
  network = RUNS[run][0]
  if part == "dense":
    one = forward_macs(network, scale, round(scale * ASPECT))
  else:
    one = CROPS * forward_macs(network, 224, 224)
  return MIRRORED * one * TEST_IMAGES


def evaluations() -> list[tuple[str, str, int]]:
  """Each (protocol, run, Q) that Tables 3 to 7 need, once."""
  tables = table3.TABLE, table4.TABLE, table5.TABLE, table6.TABLE
  members: list[Member] = list(
    itertools.chain.from_iterable(
      row.system for table in tables for row in table.rows
    )
  )
  return sorted(
    {
      (part, member.run, scale)
      for member in members
      for part in PROTOCOLS[member.protocol]
      for scale in member.test_scales
    }
  )


def rows() -> list[tuple[str, float]]:
  """(what, multiply-accumulates) of each run and of the evaluations."""
  result = [(f"train {run}", train_macs(run)) for run in RUNS]
  result.append(("all 14 runs", sum(macs for _, macs in result)))
  for name, part in (("dense", "dense"), ("multi-crop", "multicrop")):
    needed = [e for e in evaluations() if e[0] == part]
    result.append(
      (
        f"evaluate, {name} ({len(needed)} arrays)",
        sum(test_macs(*e) for e in needed),
      )
    )
  return result


def markdown(
  images_per_second: float,
  devices: Sequence[int],
  efficiency: float,
  price: float,
  basis: str,
) -> str:
  """The table; `efficiency` is that of several devices, in (0, 1]."""
  macs_per_second = images_per_second * 3 * forward_macs("D", 224, 224)

  def hours(macs, count):
    speedup = count * (efficiency if count > 1 else 1)
    return macs / macs_per_second / speedup / 3600

  head = ["", *(f"{n} device{'s' * (n > 1)}" for n in devices), "device-hours"]
  if price:
    head.append(f"at {price:g} $ a device-hour")
  lines = [head, ["---"] * len(head)]
  for name, macs in rows():
    total = devices[-1] * hours(macs, devices[-1])
    cells = [name, *(f"{hours(macs, n):,.1f} h" for n in devices)]
    cells.append(f"{total:,.0f}")
    if price:
      cells.append(f"{price * total:,.0f} $")
    lines.append(cells)
  table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
  return (
    f"Basis: {images_per_second:g} training images/s of net D on one device "
    f"({basis}); several devices at {100 * efficiency:.0f} % efficiency; "
    f"device-hours and cost for {devices[-1]}.\n\n{table}\n"
  )


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints the table, and writes it where --write says."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.cost",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--images_per_second", type=float, required=True)
  parser.add_argument("--basis", required=True, help="where that is from")
  parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64])
  parser.add_argument("--efficiency", type=float, default=0.94)
  parser.add_argument("--price", type=float, default=0.0)
  parser.add_argument("--write", help="name of the file under results/")
  options = parser.parse_args(arguments)
  if options.images_per_second <= 0 or not 0 < options.efficiency <= 1:
    parser.error("images_per_second must be above 0, efficiency in (0, 1]")
  if min(options.devices) < 1:
    parser.error("devices must be at least 1")
  text = markdown(
    options.images_per_second,
    options.devices,
    options.efficiency,
    options.price,
    options.basis,
  )
  print(text)
  if options.write:
    (Path(RESULTS) / options.write).write_text(text)
  return 0


if __name__ == "__main__":
  sys.exit(main())
