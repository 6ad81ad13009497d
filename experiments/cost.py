"""What reproducing the paper on ImageNet takes: time, devices, money.

  python -m experiments.cost --images_per_second=3400 --bandwidth=400 \\
    --price=3 --basis="assumed: 40 % of 790 TFLOP/s"
  python -m experiments.cost --measured=gpu.json --bandwidth=400 --basis="..."
  python -m experiments.cost --check

Computed by `cost_model` from the throughput of net D on one device, given or
measured by `benchmarks.gpu --json`: other networks, image sizes and evaluation
count by their multiply-accumulates, several devices by the bandwidth between
them. Upper bounds: every run lasts the paper's 74 epochs; with the plateau
schedule it may end earlier. --check measures small networks here and prints the
model's prediction beside each.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import cost_check, table3, table4, table5, table6
from experiments.cost_model import (
  PASSES,
  Machine,
  dense_macs,
  machine_of,
  read_measured,
)
from experiments.options import RESULTS
from experiments.systems import Member
from vggjax import create_model
from vggjax.configs.classification import RUNS
from vggjax.evaluate.store import PROTOCOLS

TRAIN_IMAGES, TEST_IMAGES, EPOCHS = 1_281_167, 50_000, 74
# The paper's, of all devices together.
BATCH = 256
SCALES = 256, 384, 512
GIGA = 1e9


def train_seconds(
  machine: Machine, run: str, devices: int, images: int = TRAIN_IMAGES
) -> float:
  """Of a run of 74 epochs; FC alone needs no gradient of the convolutions,
  whose forward pass remains.
  """
  passes = 1 if run.endswith("-fc") else PASSES
  step = machine.step(create_model(RUNS[run][0]), BATCH, devices, passes)
  return EPOCHS * (images // BATCH) * step


def test_seconds(machine: Machine, part: str, run: str, scale: int) -> float:
  """Of one protocol at one Q over an image, on one device."""
  model = create_model(RUNS[run][0])
  if part == "dense":
    return machine.dense_image(model, scale)
  return machine.multicrop_image(model)


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


def rows(
  machine: Machine, devices: Sequence[int]
) -> list[tuple[str, list[float]]]:
  """(what, seconds on each number of devices) of the runs and evaluations."""
  result = [
    (f"train {run}", [train_seconds(machine, run, n) for n in devices])
    for run in RUNS
  ]
  columns = zip(*(seconds for _, seconds in result), strict=True)
  result.append((f"all {len(RUNS)} runs", [sum(column) for column in columns]))
  for name, part in (("dense", "dense"), ("multi-crop", "multicrop")):
    needed = [e for e in evaluations() if e[0] == part]
    one = TEST_IMAGES * sum(test_seconds(machine, *e) for e in needed)
    result.append(
      (f"evaluate, {name} ({len(needed)} arrays)", [one / n for n in devices])
    )
  return result


def cost_table(machine: Machine, devices: Sequence[int], price: float) -> str:
  """Hours of each run on each number of devices; cost on the last."""
  head = ["", *map(_devices, devices), "device-hours"]
  if price:
    head.append(f"at {price:g} $ a device-hour")
  lines = [head, ["---"] * len(head)]
  for name, seconds in rows(machine, devices):
    hours = [of / 3600 for of in seconds]
    total = devices[-1] * hours[-1]
    cells = [name, *(f"{of:,.1f} h" for of in hours), f"{total:,.0f}"]
    if price:
      cells.append(f"{price * total:,.0f} $")
    lines.append(cells)
  return _table(lines)


def speed_table(machine: Machine, devices: Sequence[int]) -> str:
  """A training step of net D on each number of devices."""
  model = create_model("D")
  lines = [
    ["D, batch 256", "step", "all-reduce", "images/s", "times one"],
    ["---"] * 5,
  ]
  one = machine.step(model, BATCH, 1)
  for count in devices:
    step = machine.step(model, BATCH, count)
    average = machine.all_reduce(model, count)
    lines.append(
      [
        _devices(count),
        f"{1e3 * step:,.1f} ms",
        f"{1e3 * average:.1f} ms",
        f"{BATCH / step:,.4g}",
        f"{one / step:.2f}",
      ]
    )
  return _table(lines)


def dense_table(machine: Machine) -> str:
  """Dense evaluation of an image by net D at each Q."""
  model = create_model("D")
  head = ["D, dense", "GMACs, one image", "padding", "images/s, one device"]
  lines = [head, ["---"] * 4]
  for scale in SCALES:
    needed, computed = dense_macs(model, scale)
    rate = 1 / machine.dense_image(model, scale)
    lines.append(
      [
        f"Q = {scale}",
        f"{needed / GIGA:.1f}",
        f"{100 * (computed / needed - 1):.1f} %",
        f"{rate:,.3g}",
      ]
    )
  return _table(lines)


def _devices(count: int) -> str:
  return "1 device" if count == 1 else f"{count} devices"


def _table(lines: list[list[str]]) -> str:
  return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def markdown(
  machine: Machine, devices: Sequence[int], price: float, basis: str
) -> str:
  """The basis and the three tables."""
  between = ""
  if machine.bandwidth:
    between = f"; {machine.bandwidth / GIGA:g} GB/s between devices"
  tables = [
    cost_table(machine, devices, price),
    speed_table(machine, devices),
    dense_table(machine),
  ]
  return (
    f"Basis: {basis}{between}; device-hours for {_devices(devices[-1])}.\n\n"
    + "\n\n".join(tables)
    + "\n"
  )


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints the tables, and writes them where --write says."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.cost",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--images_per_second", type=float, help="D, training")
  parser.add_argument(
    "--dense_per_second", type=float, default=0.0, help="D, Q = 384"
  )
  parser.add_argument("--measured", type=Path, help="of benchmarks.gpu --json")
  parser.add_argument("--precision", default="bf16", help="of --measured")
  parser.add_argument("--basis", help="where the figures are from")
  parser.add_argument("--devices", type=int, nargs="+", default=[1, 4, 8])
  parser.add_argument(
    "--bandwidth", type=float, default=0.0, help="GB/s between devices"
  )
  parser.add_argument(
    "--input_rate", type=float, default=0.0, help="images/s read, in all"
  )
  parser.add_argument("--price", type=float, default=0.0)
  parser.add_argument("--write", help="name of the file under results/")
  parser.add_argument("--check", action="store_true")
  options = parser.parse_args(arguments)
  if options.check:
    print(cost_check.markdown(cost_check.measure()))
    return 0
  machine = _machine(parser, options)
  text = markdown(machine, options.devices, options.price, options.basis)
  print(text)
  if options.write:
    (Path(RESULTS) / options.write).write_text(text)
  return 0


def _machine(
  parser: argparse.ArgumentParser, options: argparse.Namespace
) -> Machine:
  """From the options, checked."""
  if (options.measured is None) == (options.images_per_second is None):
    parser.error("give either --images_per_second or --measured")
  if not options.basis:
    parser.error("--basis must say where the figures are from")
  rates = ("images_per_second", "dense_per_second", "bandwidth", "input_rate")
  for name in rates:
    value = getattr(options, name)
    # 0, the default of the others, is not a rate to divide by.
    least = 1e-9 if name == "images_per_second" else 0
    if value is not None and value < least:
      parser.error(f"{name} is {value}; it must be above 0")
  if min(options.devices) < 1:
    parser.error("devices must be at least 1")
  if max(options.devices) > 1 and not options.bandwidth:
    parser.error("several devices need --bandwidth, GB/s between them")
  between = {
    "bandwidth": GIGA * options.bandwidth,
    "input_rate": options.input_rate,
  }
  if options.measured is None:
    return machine_of(
      options.images_per_second, options.dense_per_second, **between
    )
  try:
    return read_measured(options.measured, options.precision, **between)
  except (OSError, ValueError, KeyError) as error:
    parser.error(f"--measured: {error}")


if __name__ == "__main__":
  sys.exit(main())
