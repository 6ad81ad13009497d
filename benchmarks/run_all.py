"""Runs all benchmarks and keeps what they print.

  python -m benchmarks.run_all [--only=NAME,...] [--folder=benchmarks]

Each module of the folder whose name has no underscore in front is a process of
its own; `gpu` only where there is a GPU. Their outputs and a table of the
ratios go to results/HARDWARE.md below the folder, with --only those chosen into
the file as it is. Ends with 1 if a benchmark failed; a ratio under its bar is a
row that says so.
"""

import argparse
import dataclasses
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _harness

# The least ratio that we want; what has none is not judged.
BARS = {
  "dense": 1.1,
  "dense_multiscale": 1.0,
  "input": 1.5,
  "input_naive": 2.3,
  "convolution": 1.0,
  "train_step": 1.0,
  "train_step_mini": 1.0,
  "multicrop": 1.0,
  "startup": 2.0,
  "memory": 1.0,
  "merge": 1.0,
  "svm": 1.0,
  "gpu": 1.0,
}
FOLDER = Path(__file__).parent
GPU = "gpu"
RATIO = re.compile(r"ratio (\d+\.\d+)")
# Separate processes see the devices as the benchmarks do.
FIND_GPUS = (
  "import jax; d = jax.devices(); "
  "print(f'{len(d)} x {d[0].device_kind}' if d[0].platform == 'gpu' else '')"
)
FENCE = "````"
# A section of the file, as `section` writes it.
SECTION = re.compile(
  r"^## (\S+)\n\n([^\n]*)\n\n([^\n]*); ended with (-?\d+)\n\n"
  f"{FENCE}text\n(.*?){FENCE}$",
  re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Record:
  """What a benchmark printed.

  Attributes:
    name: of the module.
    what: the first line of its docstring.
    versions: of what ran it.
    code: with which it ended; 0: it did not fail.
    output: all of it.
  """

  name: str
  what: str
  versions: str
  code: int
  output: str

  @property
  def ratio(self) -> float | None:
    """Of the last line; None: it failed or printed none."""
    lines = self.output.strip().splitlines()
    found = RATIO.fullmatch(lines[-1].strip()) if lines else None
    return float(found[1]) if found and not self.code else None

  @property
  def failed(self) -> bool:
    """Whether there is no result; a GPU's may have no ratio."""
    return bool(self.code) or (self.ratio is None and self.name != GPU)

  def cells(self) -> list[str]:
    """Its row: name, what, ratio, bar, whether that is met."""
    bar, ratio = BARS.get(self.name), self.ratio
    if self.failed:
      reason = f"code {self.code}" if self.code else "no ratio at the end"
      verdict = f"failed: {reason}"
    elif bar is None or ratio is None:
      verdict = ""
    else:
      verdict = "yes" if ratio >= bar else "no"
    return [
      f"[{self.name}](#{self.name})",
      self.what,
      "" if ratio is None else f"{ratio:.2f}",
      "" if bar is None else f"{bar:.1f}",
      verdict,
    ]


def find(folder: Path, with_gpu: bool) -> dict[str, Path]:
  """The benchmarks of a folder by name."""
  return {
    path.stem: path
    for path in sorted(folder.glob("*.py"))
    if not path.stem.startswith("_")
    and path.stem != Path(__file__).stem
    and (path.stem != GPU or with_gpu)
  }


def run(path: Path) -> Record:
  """Runs one, showing what it prints as it comes."""
  module = f"{path.parent.name}.{path.stem}"
  print(f"== {path.stem}", flush=True)
  process = subprocess.Popen(
    [sys.executable, "-u", "-m", module],
    cwd=path.parent.parent,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    errors="replace",
  )
  lines = []
  with process:
    for line in process.stdout:
      print(line, end="", flush=True)
      lines.append(line)
  return Record(
    path.stem,
    summary(path),
    _harness.versions(),
    process.returncode,
    "".join(lines),
  )


def summary(path: Path) -> str:
  """The first line of a module's docstring."""
  found = re.match(r'"""(.+?)(?:"""|\n)', path.read_text())
  return found[1].rstrip(".") if found else ""


def read(path: Path) -> dict[str, Record]:
  """The records of a results file; none where there is no file."""
  if not path.exists():
    return {}
  records = [
    Record(name, what, versions, int(code), output)
    for name, what, versions, code, output in SECTION.findall(path.read_text())
  ]
  return {record.name: record for record in records}


def section(record: Record) -> str:
  """What the file holds of a record."""
  output = record.output if record.output.endswith("\n") else ""
  return (
    f"## {record.name}\n\n{record.what}\n\n"
    f"{record.versions}; ended with {record.code}\n\n"
    f"{FENCE}text\n{output or record.output + chr(10)}{FENCE}\n"
  )


def document(records: dict[str, Record], hardware: str) -> str:
  """The results file: a table, then each output."""
  rows = [["name", "what", "ratio", "bar", "met?"], ["---"] * 5]
  ordered = [records[name] for name in sorted(records)]
  rows += [record.cells() for record in ordered]
  table = "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
  head = (
    f"# Benchmarks on {hardware}\n\n"
    "`make bench` writes this. A ratio is a peer's time, or a limit, over "
    f"ours; the bar is the least that we want.\n\n{table}\n"
  )
  return "\n".join([head, *map(section, ordered)])


def find_accelerators() -> str:
  """The GPUs that JAX sees, e.g. "1 x NVIDIA H200"; "": none."""
  found = subprocess.run(
    [sys.executable, "-c", FIND_GPUS],
    check=True,
    stdout=subprocess.PIPE,
    text=True,
  )
  return found.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs what is asked for; 1 if one of them failed."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.run_all",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--only", default="", help="names with commas between")
  parser.add_argument("--folder", type=Path, default=FOLDER)
  options = parser.parse_args(arguments)
  accelerators = find_accelerators()
  found = find(options.folder.resolve(), bool(accelerators))
  names = [name for name in options.only.split(",") if name] or list(found)
  for name in names:
    if name not in found:
      parser.error(f"no benchmark {name} here; there are {', '.join(found)}")
  results = options.folder / "results"
  results.mkdir(exist_ok=True)
  path = results / f"{_harness.hardware_slug(accelerators)}.md"
  records = read(path) if options.only else {}
  failed = False
  for name in names:
    records[name] = run(found[name])
    failed |= records[name].failed
    # After each, so that a stopped run keeps what it measured.
    path.write_text(document(records, _harness.hardware(accelerators)))
  print(f"results are in {path}")
  return int(failed)


if __name__ == "__main__":
  sys.exit(main())
