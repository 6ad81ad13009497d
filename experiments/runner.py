"""What all tables share: "paper | ours", as Markdown and JSON.

  python -m experiments.table3 --profile=mini --runs=runs/shapes

  --profile   of configs/classification.py; default imagenet
  --runs      the folder of experiments.train_all
  --source    the data set; default: the one that the runs were trained on
  --split     default: the profile's (imagenet: validation, mini: test)
  --weights   NETWORK=FOLDER ...: these networks in place of the runs
  --no_compute  name missing posteriors instead of computing them
  --results   default experiments/results; files go to PROFILE/DATA SET/ there
  --config.KEY=VALUE  any evaluation key, e.g. --config.test_batch_size=8

Errors are in percent. Each of ours is the mean over the seeds, +- their
standard deviation where there are several, and in brackets the 95 % bootstrap
interval over the images.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.chain import Chain
from experiments.systems import MissingRunError, System, Systems
from vggjax.configs.classification import PROFILES, RUNS
from vggjax.errors import InputError
from vggjax.evaluate.bootstrap import mean_interval
from vggjax.evaluate.submission import are_ilsvrc, write_submission

RESULTS = Path("experiments/results")


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    labels: its cells before the errors.
    paper: the paper's figure for each measure; None where it gives none.
    system: what to measure; (): a row of the paper's alone.
  """

  labels: tuple[str, ...]
  paper: tuple[float | None, ...]
  system: System = ()


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of the paper.

  Attributes:
    name: of its files, e.g. "table3".
    title: with the section.
    columns: names of the labels.
    rows: in the paper's order.
    measures: name -> k of the top-k error; None: on the hidden test labels,
      which only the server can measure.
  """

  name: str
  title: str
  columns: tuple[str, ...]
  rows: tuple[Row, ...]
  measures: dict[str, int | None] = dataclasses.field(
    default_factory=lambda: {"top-1": 1, "top-5": 5}
  )


def parse(name: str, arguments: Sequence[str] | None) -> argparse.Namespace:
  """The options of an experiment; `systems` is made of them."""
  parser = argparse.ArgumentParser(
    prog=f"python -m experiments.{name}",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    usage="%(prog)s --runs=DIR [--profile=...] [see below]",
    add_help=True,
  )
  hide = argparse.SUPPRESS
  parser.add_argument("--profile", choices=PROFILES, default="imagenet")
  parser.add_argument("--runs", type=Path, default=Path("runs"), help=hide)
  parser.add_argument("--source", default="", help=hide)
  parser.add_argument("--split", default="", help=hide)
  parser.add_argument("--weights", nargs="+", default=(), help=hide)
  parser.add_argument("--no_compute", action="store_true", help=hide)
  parser.add_argument("--results", type=Path, default=RESULTS, help=hide)
  options, overrides = parser.parse_known_args(arguments)
  for argument in overrides:
    if not argument.startswith("--config.") or "=" not in argument:
      parser.error(f"unknown argument {argument}")
  if options.source:
    overrides.append(f"--config.dataset.source={options.source}")
  weights = {}
  for item in options.weights:
    network, equals, folder = item.partition("=")
    if not equals or network not in {row[0] for row in RUNS.values()}:
      parser.error(f"--weights {item}: must be NETWORK=FOLDER, e.g. D=runs/D")
    weights[network] = Path(folder)
  chain = Chain(options.profile, options.runs, tuple(overrides))
  options.systems = Systems(
    chain,
    split=options.split,
    weights=weights,
    compute=not options.no_compute,
  )
  return options


def run_table(table: Table, arguments: Sequence[str] | None = None) -> int:
  """Measures a table's systems, writes and prints it.

  Returns:
    The exit status: 0, or 2 on bad input or when nothing could be measured.
  """
  options = parse(table.name, arguments)
  try:
    return _run_table(table, options, arguments)
  except InputError as error:
    print(f"{table.name}: {error}", file=sys.stderr)
    return 2


def _run_table(table, options, arguments):
  systems, folder = options.systems, results_folder(options)
  if not systems.has_labels():
    write_submissions(table, systems, folder)
    return 0
  missing, rows = [], []
  for row in table.rows:
    result = {"labels": row.labels, "paper": row.paper, "ours": None}
    rows.append(result)
    if not row.system:
      continue
    result["runs"] = [member.run for member in row.system]
    try:
      result["ours"] = measure(systems, row.system, table.measures)
    except MissingRunError as error:
      missing.append(str(error))
  if missing:
    print(
      f"{table.name}: missing {'; '.join(dict.fromkeys(missing))}; python -m "
      f"experiments.train_all --profile={options.profile} "
      f"--runs={options.runs} trains what is missing",
      file=sys.stderr,
    )
  if not any(row["ours"] for row in rows):
    return 2
  write(
    {
      "name": table.name,
      "title": table.title,
      "columns": table.columns,
      "measures": list(table.measures),
      "rows": rows,
      **about(options, table.name, arguments),
    },
    folder,
  )
  return 0


def measure(
  systems: Systems, system: System, measures: dict[str, int | None]
) -> list[dict | None]:
  """A system's errors: value, spread, interval and text for each measure."""
  return [
    None if k is None else error_cell(systems.wrong(system, k))
    for k in measures.values()
  ]


def error_cell(wrong: np.ndarray) -> dict:
  """What is known of an error, from `Systems.wrong`."""
  seeds = wrong.mean(axis=1)
  low, high = mean_interval(wrong.mean(axis=0))
  value = float(seeds.mean())
  spread = float(seeds.std(ddof=1)) if len(seeds) > 1 else None
  text = f"{value:.2f}"
  if spread is not None:
    text += f" ± {spread:.2f}"
  return {
    "value": value,
    "spread": spread,
    "interval": [low, high],
    "seeds": seeds.tolist(),
    "text": f"{text} [{low:.1f}, {high:.1f}]",
  }


def about(
  options: argparse.Namespace, name: str, arguments: Sequence[str] | None
) -> dict:
  """What a result's reader must know: data, seeds, command."""
  given = sys.argv[1:] if arguments is None else arguments
  source = options.systems.any_source()
  return {
    "profile": options.profile,
    "data": source.spec,
    "split": source.split,
    "num_images": source.num_examples,
    "num_classes": len(source.class_names),
    "seeds": options.systems.seeds(),
    "command": " ".join(["python -m", f"experiments.{name}", *given]),
  }


def results_folder(options: argparse.Namespace) -> Path:
  """RESULTS/PROFILE/DATA SET, the last part of the data set's name."""
  spec = options.systems.any_source().spec
  if spec.startswith("folder:"):
    name = Path(spec.removeprefix("folder:")).name
  else:
    name = spec.replace("/", "-").replace(":", "-")
  return options.results / options.profile / name


def write(result: dict, folder: Path) -> None:
  """Writes and prints a table: FOLDER/NAME.json and .md."""
  folder.mkdir(parents=True, exist_ok=True)
  text = markdown(result)
  path = folder / f"{result['name']}.json"
  path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
  path.with_suffix(".md").write_text(text)
  print(text)
  print(f"{result['name']}: written to {path.with_suffix('.md')}")


def markdown(result: dict) -> str:
  """A result as a Markdown table with what it was measured on."""
  head = list(result["columns"])
  for name in result["measures"]:
    head += [f"{name}, paper", f"{name}, ours"]
  lines = [head, ["---"] * len(head)]
  for row in result["rows"]:
    cells = list(row["labels"])
    ours = row["ours"] or [None] * len(result["measures"])
    for figure, cell in zip(row["paper"], ours, strict=True):
      cells.append("" if figure is None else f"{figure:g}")
      cells.append(cell["text"] if cell else "")
    lines.append(cells)
  table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
  return (
    f"**{result['title']}**\n\n{table}\n\n{caption(result)}\n\n"
    f"```sh\n{result['command']}\n```\n"
  )


def caption(result: dict) -> str:
  """What the figures of a table are."""
  if "caption" in result:
    return result["caption"]
  seeds = result["seeds"]
  number = f"mean over {len(seeds)} seeds ± their standard deviation"
  return (
    "Errors in %. Paper: full-size networks on ImageNet. Ours: profile "
    f"{result['profile']}, {result['num_images']:,} images of "
    f"{result['data']}, split {result['split']}, {result['num_classes']} "
    f"classes, {number if len(seeds) > 1 else 'one seed'}; in brackets the "
    "95 % bootstrap interval over the images."
  )


def write_submissions(table: Table, systems: Systems, folder: Path) -> None:
  """Writes a file for the test server for each system of a table.

  Raises:
    InputError: if the classes are not ImageNet's.
  """
  source = systems.any_source()
  if not are_ilsvrc(source.class_names):
    raise InputError(
      f"split {source.split} of {source.spec} has no labels, so there are no "
      "errors to measure; choose another --split"
    )
  for number, row in enumerate(table.rows, start=1):
    if not row.system:
      continue
    item = systems.posteriors(row.system, systems.seeds()[0])
    path = folder / f"{table.name}-{number}-submission.txt"
    write_submission(path, item.posteriors, item.ids, source.class_names)
    print(f"{', '.join(row.labels)}: {path}")
