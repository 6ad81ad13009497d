"""Training, evaluation and input on GPUs, beside torch and the limits.

  python -m benchmarks.gpu [--only=train,dense,...] [--images=FOLDER]
      [--network=D] [--precision=bf16] [--minutes=8.5] [--json=FILE] [--tiny]

Prints each result as it comes, then one Markdown table. The last line is
torch's time over ours for a training step of D at batch 128 in bfloat16. What
does not fit the memory is a row that says so; no case begins after --minutes.
Without a GPU nothing is measured. --tiny runs all of it in small, without a GPU
too, to try it; its figures mean nothing.

MFU: two FLOP a multiply-accumulate of the layers (`vggjax networks`), three
times that for a training step, over a large matrix product of the same
precision, measured first. Float32 is TF32, on both sides.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import jax
import torch

from benchmarks import (
  _gpu_ceilings,
  _gpu_devices,
  _gpu_evaluate,
  _gpu_input,
  _gpu_profile,
  _gpu_torch,
  _gpu_train,
  _harness,
)
from benchmarks._gpu_bench import (
  TINY,
  Bench,
  Case,
  DoesNotFitError,
  Result,
  Sizes,
  free_memory,
)
from benchmarks._gpu_images import image_paths
from benchmarks._gpu_table import NOT_MEASURED, table
from vggjax import compilation, huge_pages

PARTS = (
  _gpu_ceilings,
  _gpu_train,
  _gpu_evaluate,
  _gpu_devices,
  _gpu_profile,
  _gpu_input,
)
SECTIONS = "train", "dense", "multicrop", "devices", "profile", "input"
# The rest is torch's: neither takes what the other needs.
MEMORY_SHARE = "0.55"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  """The options."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.gpu",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--only", default="", help=", ".join(SECTIONS))
  parser.add_argument("--network", help="train only this one: D or E")
  parser.add_argument("--precision", help="only this one: bf16 or tf32")
  parser.add_argument("--images", default="", help="folder of real images")
  parser.add_argument(
    "--decode_rate", type=float, default=0.0, help="images/s a core decodes"
  )
  parser.add_argument("--minutes", type=float, default=8.5)
  parser.add_argument("--json", type=Path, help="file for the results")
  parser.add_argument(
    "--eager", action="store_true", help="torch does not compile"
  )
  parser.add_argument("--tiny", action="store_true")
  options = parser.parse_args(arguments)
  options.only = [name for name in options.only.split(",") if name]
  for name in options.only:
    if name not in SECTIONS:
      parser.error(f"--only {name}: not one of {', '.join(SECTIONS)}")
  if options.images and not image_paths(options.images):
    parser.error(f"--images {options.images}: no images below it")
  return options


def chosen(bench: Bench, options: argparse.Namespace) -> list[Case]:
  """The cases in their order: the ceilings, then the most wanted."""
  cases = [case for part in PARTS for case in part.cases(bench)]
  wanted = ["ceilings", *(options.only or SECTIONS)]
  cases = [
    case
    for case in cases
    if case.section in wanted
    and (case.section != "train" or f" {options.network or ''}" in case.name)
    and (
      case.section not in ("train", "dense", "multicrop")
      or case.name.endswith(options.precision or "")
    )
  ]
  return sorted(cases, key=lambda case: (case.section != "ceilings", case.rank))


def measure_all(
  bench: Bench, cases: list[Case], end: float
) -> tuple[dict[str, Result | str], bool]:
  """A result of each case or why there is none, and whether one failed."""
  results, failed = {}, False
  for case in cases:
    if time.monotonic() > end:
      results[case.name] = f"{NOT_MEASURED}: no time left"
      continue
    print(f"{case.name} ...", flush=True)
    begin = time.monotonic()
    try:
      result = case.measure(bench)
    except DoesNotFitError:
      result = "does not fit"
    except Exception as error:
      # The others are measured all the same; the command ends with 1.
      traceback.print_exc()
      result = f"failed: {type(error).__name__}"
      failed = True
    results[case.name] = result
    free_memory()
    print(table([case], results).splitlines()[-1])
    print(f"  took {time.monotonic() - begin:.0f} s", flush=True)
  return results, failed


def accelerators(devices: list[jax.Device]) -> str:
  """Their number and kind, e.g. "1 x NVIDIA H200"; "": none."""
  if devices[0].platform != "gpu":
    return ""
  return f"{len(devices)} x {devices[0].device_kind}"


def save(path: Path, hardware: str, results: dict[str, Result | str]) -> None:
  """Writes what was measured, for `experiments.cost`."""
  rows = {
    name: dataclasses.asdict(result)
    for name, result in results.items()
    if isinstance(result, Result)
  }
  record = {"hardware": hardware, "versions": _harness.versions(), "rows": rows}
  path.write_text(json.dumps(record, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
  """Measures what is to be measured; 1 if a case failed."""
  options = parse(arguments)
  end = time.monotonic() + 60 * options.minutes
  os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", MEMORY_SHARE)
  compilation.keep_programs()
  devices = jax.devices()
  found = accelerators(devices)
  hardware = _harness.hardware(found)
  bench = Bench(
    TINY if options.tiny else Sizes(),
    devices,
    "cuda" if found and torch.cuda.is_available() else "cpu",
    not options.eager,
    options.images,
    options.decode_rate,
  )
  cases = chosen(bench, options)
  print(f"{hardware}; {_harness.versions()}", flush=True)
  if options.tiny:
    print("tiny: the figures mean nothing", flush=True)
  if not found and not options.tiny:
    print(table(cases, {}))
    print("no GPU: not measured")
    return 0
  _gpu_torch.prepare(bench.torch_device)
  results, failed = measure_all(bench, cases, end)
  print(table(cases, results))
  if options.json:
    save(options.json, hardware, results)
  name = _gpu_train.case_name("D", bench.sizes.batches[0], "bf16")
  first = results.get(name)
  if isinstance(first, Result) and first.peers:
    _harness.print_ratio(first.rate, max(first.peers.values()))
  return int(failed)


if __name__ == "__main__":
  huge_pages.begin_again()
  sys.exit(main())
