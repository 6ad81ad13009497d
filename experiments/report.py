"""One HTML page about all runs of a profile on a data set.

  python -m experiments.report --profile=mini --runs=runs/shapes

Written to RESULTS/PROFILE/DATA SET/report.html; it loads nothing else. It holds
what is there of: the findings, the tables, learning curves, the best system's
errors by class, its worst mistakes, its score maps, and each run's command and
config. Posteriors of the best system that are not stored are computed unless
--no_compute is given. Options: `python -m experiments.report --help`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import output, report_best, report_runs
from experiments.options import data_name, parse, results_folder
from experiments.output import short_path, short_paths
from experiments.report_appendices import (
  FEATURE_MAP,
  LOCALIZATION,
  TRANSFER,
  localization_section,
  transfer_section,
)
from experiments.report_classes import best_sections
from experiments.report_html import (
  Markup,
  document,
  element,
  link,
  note,
  section,
)
from experiments.report_tables import findings_section, table_section
from vggjax.configs.classification import RUNS
from vggjax.errors import InputError
from vggjax.files import written_whole

NAMES = (
  *("table2", "table3", "table4", "table5", "table6", "table7"),
  *("shallow", "findings"),
)


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes the page; returns the exit status."""
  options = parse("report", arguments)
  try:
    folder = folder_of_results(options)
    results, missing = read_results(folder)
    if not results.keys() - {"table2", *TRANSFER}:
      raise InputError(
        f"{folder} has no results; python -m experiments.table3 "
        f"--profile={options.profile} --runs={options.runs} makes the first"
      )
    content = collect(options, results, missing)
    if (folder / FEATURE_MAP).is_file():
      content["feature_map"] = (folder / FEATURE_MAP).read_bytes()
    page = make_page(content)
  except InputError as error:
    print(f"report: {error}", file=sys.stderr)
    return 2
  path = folder / "report.html"
  with written_whole(path) as temporary:
    temporary.write_text(page)
  print(f"report: written to {path}")
  return 0


def folder_of_results(options: argparse.Namespace) -> Path:
  """The folder of the runs' data set; without runs, the only one there is.

  Raises:
    InputError: if there are neither runs nor exactly one folder.
  """
  try:
    return results_folder(options)
  except InputError:
    pattern = f"{options.profile}/*/*.json"
    folders = {path.parent for path in options.results.glob(pattern)}
    if len(folders) != 1:
      raise
    return folders.pop()


def read_results(folder: Path) -> tuple[dict[str, dict], dict[str, str]]:
  """The results of a folder, table2 from two above it.

  Returns:
    name -> JSON of those that are there; name -> why not of the others.
  """
  results, missing = {}, {}
  for name in (*NAMES, *LOCALIZATION, *TRANSFER):
    home = folder.parent.parent if name == "table2" else folder
    path = home / f"{name}.json"
    try:
      results[name] = dict(json.loads(path.read_text()))
    except FileNotFoundError:
      if name in NAMES:
        missing[name] = "Not there"
    except (TypeError, ValueError):
      missing[name] = "Not readable"
  return results, missing


def collect(
  options: argparse.Namespace,
  results: dict[str, dict],
  missing: dict[str, str],
) -> dict[str, Any]:
  """Everything on the page, as plain data; see `make_page`."""
  systems = options.systems
  seeds = systems.chain.seeds() or [0]
  return {
    "about": next(
      result
      for name, result in results.items()
      if name not in ("table2", *TRANSFER)
    ),
    "results": results,
    "missing": missing,
    "options": f"--profile={options.profile} --runs={short_path(options.runs)}",
    "weights": [short_paths(weights) for weights in options.weights],
    "runs": report_runs.collect(systems.chain, seeds),
    "best": report_best.collect(systems, results),
  }


def make_page(content: dict[str, Any]) -> Markup:
  """The page.

  Args:
    content: about: a result's JSON, for the head; results: name -> JSON;
      missing: name -> why it is not there; options: of the commands that make
      what is missing; weights: of --weights; runs: of `report_runs.collect`;
      best: of `report_best.collect`; feature_map: a PNG, if it is there.
  """
  about, results, runs = (content[k] for k in ("about", "results", "runs"))
  title = f"vggjax: profile {about['profile']} on {data_name(about['data'])}"
  return document(
    title,
    head(title, about),
    navigation(results),
    findings_section(
      results.get("findings"), missing_text(content, "findings")
    ),
    tables_section(content),
    localization_section(results),
    transfer_section(results, content.get("feature_map")),
    report_runs.curves_section(runs),
    best_sections(content["best"]),
    weights_note(content["weights"]),
    report_runs.appendix(runs),
  )


def head(title: str, about: dict) -> Markup:
  """What was measured, and what the paper's figures are."""
  seeds = ", ".join(map(str, about["seeds"]))
  return element(
    "header",
    element("h1", title),
    element(
      "p",
      f"Split {about['split']} of {data_name(about['data'])}: "
      f"{about['num_images']:,} images of {about['num_classes']} classes; "
      f"networks of profile {about['profile']}; "
      f"{'seeds' if len(about['seeds']) > 1 else 'seed'} {seeds}.",
    ),
    element("p", comparison(about), class_="notice"),
  )


def comparison(about: dict) -> str:
  """How the paper's figures relate to ours."""
  paper = "The paper's figures are of full-size networks on ImageNet. "
  if about["profile"] == "imagenet" and about["num_classes"] == 1000:
    return f"{paper}Ours were trained and measured here, on the data above."
  return (
    f"{paper}Ours are not of ImageNet, so a difference to the paper says more "
    "about the data and the size of the networks than about the method; "
    "compare the order of the rows."
  )


def navigation(results: dict[str, dict]) -> Markup:
  """Links to the sections."""
  places = {
    "findings": "Findings",
    "tables": "Tables",
    "localization": "Localization",
    "transfer": "Features",
    "curves": "Learning curves",
    "best": "Best system",
    "runs": "Runs",
  }
  for place, names in (("localization", LOCALIZATION), ("transfer", TRANSFER)):
    if not results.keys() & set(names):
      del places[place]
  links = [element("li", link(*place)) for place in places.items()]
  return element("nav", element("ul", *links), aria_label="sections")


def tables_section(content: dict[str, Any]) -> Markup:
  """All tables that are there, and the names of the others."""
  linkable = set(RUNS) & {run["run"] for run in content["runs"]}
  results = content["results"]
  # What most tables were measured on is said once.
  said = output.caption(content["about"])
  parts = [
    table_section(result, linkable, said)
    for name, result in results.items()
    if name not in ("findings", *LOCALIZATION, *TRANSFER)
  ]
  gaps = missing_text(content, "table", "shallow")
  text = element("p", short_paths(said), class_="small")
  return section("tables", "Tables", text, *parts, note(gaps) if gaps else None)


def missing_text(content: dict[str, Any], *prefixes: str) -> str:
  """What to say of the results of such names that are not there."""
  missing = {
    name: reason
    for name, reason in content["missing"].items()
    if name.startswith(prefixes)
  }
  if not missing:
    return ""
  first = next(iter(missing))
  options = "" if first == "table2" else f" {content['options']}"
  reasons = [
    f"{reason}: {', '.join(n for n in missing if missing[n] == reason)}"
    for reason in dict.fromkeys(missing.values())
  ]
  return (
    f"{'; '.join(reasons)}. python -m experiments.{first}{options} makes "
    f"{'it' if len(missing) == 1 else 'the first, and so on'}."
  )


def weights_note(weights: Sequence[str]) -> Markup | None:
  """Which networks are not the runs below."""
  if not weights:
    return None
  text = f"Networks trained elsewhere were given: {', '.join(weights)}."
  return element("p", text, class_="notice")


if __name__ == "__main__":
  sys.exit(main())
