"""Where the time of a training step goes, by operation and by layer."""

import collections
import glob
import gzip
import json
import re
import tempfile

import jax

from benchmarks._gpu_bench import (
  Bench,
  Case,
  DoesNotFitError,
  Result,
  is_out_of_memory,
  random_params,
)
from benchmarks._gpu_train import TrainStep, random_batch
from vggjax.models import parameters

NETWORK, PRECISION = "D", "bf16"
STEPS = 3
SHOWN = 10
LAYER = re.compile(r"(?:^|/)(conv\d_\d|fc\d)(?:/|$)")
# Of the program's text: where a computation begins, and what an operation is
# called, comes from and calls.
COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
OPERATION = re.compile(r"^ +(?:ROOT )?%?([\w.\-]+) = ")
SOURCE = re.compile(r'op_name="([^"]*)"')
CALLED = re.compile(r"calls=%?([\w.\-]+)")


def cases(bench: Bench) -> list[Case]:
  """One: D in bf16 at the first batch size."""
  name = f"profile {NETWORK}, batch {bench.sizes.batches[0]}, {PRECISION}"
  return [Case("profile", name, measure, rank=1)]


def measure(bench: Bench) -> Result:
  """Prints the operations and the layers that take the time."""
  batch_size = bench.sizes.batches[0]
  ours = TrainStep(
    bench,
    NETWORK,
    random_params(bench, NETWORK),
    random_batch(bench, batch_size),
    precision=PRECISION,
  )
  try:
    with ours.precision():
      program = ours.step.compile(ours.state, ours.batch)
    ours.step = program
    ours.run(STEPS)
    with tempfile.TemporaryDirectory() as folder:
      with jax.profiler.trace(folder):
        ours.run(STEPS)
      events = read_events(folder)
  except Exception as error:
    if is_out_of_memory(error):
      raise DoesNotFitError("ours") from error
    raise
  seconds = {op: of / STEPS for op, of in seconds_by_op(events).items()}
  if not seconds:
    raise RuntimeError("the trace holds no operation")
  sources = read_sources(program.as_text())
  print(ops_table(seconds, sources), flush=True)
  flops = layer_flops(bench, batch_size)
  print(
    layers_table(seconds, sources, flops, bench.ceilings[PRECISION]),
    flush=True,
  )
  total = sum(seconds.values())
  known = sum(
    of for op, of in seconds.items() if LAYER.search(sources.get(op, ""))
  )
  return Result(
    batch_size / total,
    flops=sum(flops.values()) / total,
    ceiling=bench.ceilings[PRECISION],
    note=f"of the time in operations, {100 * known / total:.0f} % in layers",
  )


def read_events(folder: str) -> list[dict]:
  """The events of the trace that the profiler wrote."""
  paths = glob.glob(f"{folder}/**/*.trace.json.gz", recursive=True)
  events = []
  for path in paths:
    with gzip.open(path) as file:
      events += json.load(file)["traceEvents"]
  return events


def seconds_by_op(events: list[dict]) -> dict[str, float]:
  """Seconds in each operation of the program, over all streams.

  A GPU's trace shows what ran on its streams and lines that sum it up again;
  only the streams count.
  """
  threads = {
    (event["pid"], event.get("tid")): event["args"].get("name", "")
    for event in events
    if event.get("ph") == "M" and event.get("name") == "thread_name"
  }
  streams = {key for key, name in threads.items() if name.startswith("Stream")}
  result = collections.defaultdict(float)
  for event in events:
    if event.get("ph") != "X":
      continue
    op = event.get("args", {}).get("hlo_op")
    if streams:
      # Copies and the like belong to no operation.
      if (event["pid"], event.get("tid")) not in streams:
        continue
      op = op or event["name"]
    if op:
      result[op] += event.get("dur", 0) / 1e6
  return dict(result)


def read_sources(text: str) -> dict[str, str]:
  """Where each operation of a compiled program comes from, where it is known.

  A fused operation without a source of its own has the most frequent one of
  its parts, those in a layer first.
  """
  sources, calls, parts = {}, {}, collections.defaultdict(list)
  inside = ""
  for line in text.splitlines():
    if begins := COMPUTATION.match(line):
      inside = begins[1]
    elif operation := OPERATION.match(line):
      if source := SOURCE.search(line):
        sources[operation[1]] = source[1]
        parts[inside].append(source[1])
      elif called := CALLED.search(line):
        calls[operation[1]] = called[1]
  for op, name in calls.items():
    found = parts[name]
    found = [source for source in found if LAYER.search(source)] or found
    if found:
      sources[op] = collections.Counter(found).most_common(1)[0][0]
  return sources


def layer_flops(bench: Bench, batch_size: int) -> dict[tuple[str, str], float]:
  """FLOP of a step by layer and pass, "forward" or "backward".

  The image needs no gradient, and so the first layer has one product less.
  """
  model = bench.create_model(NETWORK, PRECISION)
  side = bench.sizes.crop_size
  macs = parameters.layer_macs(model, side, side)
  result = {}
  for name, count in macs.items():
    products = 1 if name == "conv1_1" else 2
    result[name, "forward"] = 2 * batch_size * count
    result[name, "backward"] = 2 * batch_size * count * products
  return result


def ops_table(seconds: dict[str, float], sources: dict[str, str]) -> str:
  """The operations that take most, as Markdown."""
  total = sum(seconds.values())
  lines = ["| operation | from | ms | share |", "| --- | --- | --- | --- |"]
  ordered = sorted(seconds.items(), key=lambda item: -item[1])
  for op, of in ordered[:SHOWN]:
    source = sources.get(op, "").rpartition("jit(_fun)/")[2]
    lines.append(
      f"| {op} | {source} | {1e3 * of:.3f} | {100 * of / total:.1f} % |"
    )
  rest = sum(of for _, of in ordered[SHOWN:])
  lines.append(
    f"| {max(0, len(ordered) - SHOWN)} others | | {1e3 * rest:.3f} | "
    f"{100 * rest / total:.1f} % |"
  )
  return "\n".join(lines)


def layers_table(
  seconds: dict[str, float],
  sources: dict[str, str],
  flops: dict[tuple[str, str], float],
  ceiling: float,
) -> str:
  """Time, FLOP and share of the ceiling by layer and pass, as Markdown.

  A fused operation counts for the layer that its last part comes from.
  """
  spent = collections.defaultdict(float)
  for op, of in seconds.items():
    source = sources.get(op, "")
    layer = LAYER.search(source)
    if layer:
      backward = "transpose(" in source
      spent[layer[1], "backward" if backward else "forward"] += of
    else:
      spent["none", source.rpartition("/")[2] or "unnamed"] += of
  total_time, total_flops = sum(spent.values()), sum(flops.values())
  lines = [
    "| layer | pass | ms | of the time | of the FLOP | of the ceiling |",
    "| --- | --- | --- | --- | --- | --- |",
  ]
  others = sorted(set(spent) - set(flops), key=lambda key: -spent[key])
  for key in [*flops, *others[:SHOWN]]:
    time = spent.get(key, 0.0)
    cells = [*key, f"{1e3 * time:.3f}", f"{100 * time / total_time:.1f} %"]
    if key in flops:
      cells.append(f"{100 * flops[key] / total_flops:.1f} %")
      rate = flops[key] / time / ceiling if time else None
      cells.append("" if rate is None else f"{100 * rate:.0f} %")
    else:
      cells += ["", ""]
    lines.append("| " + " | ".join(cells) + " |")
  return "\n".join(lines)
