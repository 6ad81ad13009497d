"""The runs of a report: what is known of each, learning curves, appendix."""

import io
import shlex
from collections.abc import Sequence
from pathlib import Path

from experiments.chain import RECIPES, Chain, config_file, how_far
from experiments.output import short_path, short_paths
from experiments.report_html import (
  Markup,
  element,
  join,
  note,
  picture,
  scrolling,
  section,
)
from experiments.report_tables import column_head, row_head, table
from vggjax import checkpoint
from vggjax import config as configuration
from vggjax.configs.classification import RUNS
from vggjax.tasks import run as task_run
from vggjax.train.log import read_metrics


def collect(chain: Chain, seeds: Sequence[int]) -> list[dict]:
  """What is known of each run of each seed, in the order of RUNS."""
  return [
    describe(chain, run, seed, chain.workdir(run, seed))
    for run in RUNS
    for seed in seeds
  ]


def describe(chain: Chain, run: str, seed: int, workdir: Path) -> dict:
  """One run as plain data.

  Returns:
    run, seed, workdir, state, command; records: of its metrics; changes:
    config keys that are not the profile's, (key, profile's, own); config: all
    keys; best, final: validation records or None.
  """
  config = saved_config(workdir)
  profile = Chain(chain.profile, chain.folder).config(run, seed)
  wanted = configuration.flatten(profile)
  changes = [
    (key, wanted.get(key), value)
    for key, value in config.items()
    if value != wanted.get(key)
  ]
  if config:
    overrides = [f"--config.{key}={value}" for key, _, value in changes]
    chain = Chain(chain.profile, chain.folder, tuple(overrides))
  records = read_metrics(workdir)
  validations = [r for r in records if r["kind"] == "validation"]
  return {
    "run": run,
    "seed": seed,
    "workdir": short_path(workdir),
    "state": how_far(workdir).text,
    "command": training_command(chain, run, seed),
    "records": records,
    "changes": changes,
    "config": config,
    "best": min(validations, key=lambda r: r["top1_error"], default=None),
    "final": validations[-1] if validations else None,
  }


def saved_config(workdir: Path) -> dict:
  """The config that a run was trained with; empty if it cannot be read."""
  try:
    return configuration.load_config(workdir / checkpoint.CONFIG_FILE)
  except (OSError, ValueError):
    return {}


def training_command(chain: Chain, run: str, seed: int) -> str:
  """The command that trains a run, an argument a line."""
  *arguments, _ = chain.arguments(run, seed)
  recipe = RECIPES[run]
  arguments[0] = arguments[0].replace(
    config_file(recipe), f"configs/{recipe}.py"
  )
  arguments = [short_paths(argument) for argument in arguments]
  arguments.append(f"--workdir={short_path(chain.workdir(run, seed))}")
  lines = ["python -m vggjax.main", *map(shlex.quote, arguments)]
  return " \\\n  ".join(lines)


def curves_section(runs: Sequence[dict]) -> Markup:
  """A chart for each network: its stages one after the other, all seeds.

  Args:
    runs: of `collect`.
  """
  title = "Learning curves"
  visualize = task_run.picture_module()
  if visualize is None:
    return section("curves", title, note("matplotlib is not installed."))
  networks = stages_of_networks(runs)
  without = [name for name in RUNS if name not in names_with_records(runs)]
  missing = note(f"No metrics of {', '.join(without)}.") if without else None
  if not networks:
    return section("curves", title, missing)
  limits = visualize.curve_limits(list(networks.values()))
  charts = []
  for network, stages in networks.items():
    file = io.BytesIO()
    visualize.network_curves(stages, file, title=network, limits=limits)
    charts.append(
      element("figure", picture(file.getvalue(), curves_text(network, runs)))
    )
  return section(
    "curves",
    title,
    element(
      "p",
      "A chart for each network, its stages one after the other: each starts "
      "from the one to its left, but D-256-512-fc from D-384. All charts have "
      "the same axes, and loss and error are on logarithmic ones. "
      "Training figures are means over augmented crops with dropout, "
      "validation figures are of central crops. Several seeds are drawn "
      "faintly, with their mean.",
      class_="small",
    ),
    missing,
    element("div", *charts, class_="charts"),
  )


def names_with_records(runs: Sequence[dict]) -> set[str]:
  """The runs that have metrics for at least one seed."""
  return {run["run"] for run in runs if run["records"]}


def stages_of_networks(
  runs: Sequence[dict],
) -> dict[str, list[tuple[str, list[list[dict]]]]]:
  """Network -> (run, the records of each seed) for each of its stages."""
  networks = {}
  there = names_with_records(runs)
  for name in [name for name in RUNS if name in there]:
    seeds = [r["records"] for r in runs if r["run"] == name and r["records"]]
    networks.setdefault(RUNS[name][0], []).append((name, seeds))
  return networks


def curves_text(network: str, runs: Sequence[dict]) -> str:
  """What a network's chart shows, in words."""
  text = f"Loss and top-1 error of net {network} over the steps."
  ends = [
    f"{r['run']}, seed {r['seed']}: {r['final']['top1_error']:.1f}"
    for r in runs
    if RUNS[r["run"]][0] == network and r["final"]
  ]
  if ends:
    text += f" Last validation error in percent: {'; '.join(ends)}."
  return text


def appendix(runs: Sequence[dict]) -> Markup:
  """A part for each run, with its seeds.

  Args:
    runs: of `collect`.
  """
  parts = []
  for name in dict.fromkeys(run["run"] for run in runs):
    seeds = [run for run in runs if run["run"] == name]
    parts += [element("h3", name, id=f"run-{name}"), run_table(name, seeds)]
    parts += [run_details(run) for run in seeds]
  text = (
    "Validation errors are top-1 on the central crop, in percent, at the best "
    "and at the last step."
  )
  return section("runs", "Runs", element("p", text, class_="small"), *parts)


def run_table(name: str, seeds: Sequence[dict]) -> Markup:
  """State and errors of a run's seeds."""
  heads = ["seed", "folder", "state", "best error", "final error"]
  rows = [
    element(
      "tr",
      row_head(run["seed"]),
      element("td", element("code", run["workdir"])),
      element("td", run["state"]),
      element("td", error_text(run["best"]), class_="number"),
      element("td", error_text(run["final"]), class_="number"),
    )
    for run in seeds
  ]
  return table(name, [element("tr", *map(column_head, heads))], rows)


def error_text(record: dict | None) -> str:
  """A validation error and its step."""
  if record is None:
    return "–"
  return f"{record['top1_error']:.2f} (step {record['step']:,})"


def run_details(run: dict) -> Markup:
  """How a run was, or is to be, trained, and its config."""
  name = f"{run['run']}, seed {run['seed']}"
  command = scrolling(
    f"command of {name}", element("pre", element("code", run["command"]))
  )
  if not run["config"]:
    return join(element("p", "To train it:", class_="small"), command)
  changes = [
    f"{key} = {text_of(own)} (profile: {text_of(default)})"
    for key, default, own in run["changes"]
  ]
  config = "\n".join(
    f"{key} = {text_of(value)}" for key, value in sorted(run["config"].items())
  )
  return element(
    "details",
    element("summary", f"Command and config of {name}"),
    command,
    element(
      "p",
      f"Differs from the profile: {'; '.join(changes)}."
      if changes
      else "As the profile says, in every key.",
    ),
    element(
      "details",
      element("summary", "All keys"),
      scrolling(f"config of {name}", element("pre", element("code", config))),
    ),
  )


def text_of(value: object) -> str:
  """A config's value, without absolute paths."""
  return short_paths(repr(value))
