"""The sections about the best system: classes, mistakes and score maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.report_html import (
  Markup,
  element,
  join,
  link,
  note,
  picture,
  section,
)
from experiments.report_tables import column_head, row_head, table

# More rows of a matrix, or bars, are not read.
MAX_CLASSES = 30
MAX_PAIRS = 12


def best_sections(best: dict[str, Any]) -> Markup:
  """All that is shown of the best system.

  Args:
    best: of `report_best.collect`.
  """
  title = "Best system"
  if "missing" in best:
    return section("best", title, note(best["missing"]))
  names = best["class_names"]
  return join(
    section(
      "best",
      title,
      element(
        "p",
        element("strong", best["name"]),
        " of ",
        link(best["table"], best["table"].replace("table", "Table ")),
        " has the lowest top-1 error of Tables 3 to 6. What follows is of its "
        f"seed {best['seed']}: {best['error']:.2f} % of "
        f"{int(best['confusion'].sum()):,} images wrong.",
      ),
      element("h3", "Errors by class", id="classes"),
      class_errors(best["confusion"], names),
      *confusions(best["confusion"], names),
    ),
    mistakes_section(best["mistakes"], names),
    maps_section(best["maps"], names),
  )


def class_errors(matrix: np.ndarray, names: Sequence[str]) -> Markup:
  """Each class's top-1 error as a bar, the worst first.

  Args:
    matrix: int [K, K], images of a true class by answer.
    names: [K].
  """
  counts = matrix.sum(axis=1)
  there = np.flatnonzero(counts)
  errors = 100 - 100 * np.diag(matrix)[there] / counts[there]
  order = np.argsort(-errors, kind="stable")[:MAX_CLASSES]
  largest = max(errors.max(initial=0), 1e-9)
  rows = [
    element(
      "tr",
      row_head(names[there[i]]),
      element("td", f"{errors[i]:.1f}", class_="number"),
      element("td", bar(100 * errors[i] / largest), class_="bar"),
      element("td", int(counts[there[i]]), class_="number"),
    )
    for i in order
  ]
  heads = element(
    "tr",
    column_head("class"),
    column_head("error, %", class_="number"),
    element("td"),
    column_head("images", class_="number"),
  )
  return join(
    element("p", f"The {len(order)} worst of {len(there)} classes:")
    if len(order) < len(there)
    else None,
    table("Top-1 error of each class", [heads], rows, class_="bars"),
  )


def bar(percent: float) -> Markup:
  """A bar of a share of its cell's width."""
  return element("div", style=f"width:{percent:.1f}%")


def confusions(matrix: np.ndarray, names: Sequence[str]) -> list[Markup]:
  """The confusion matrix, if it is not too large, and the worst pairs."""
  parts = [element("h3", "Confusions", id="confusions")]
  if len(names) <= MAX_CLASSES:
    parts += [
      element(
        "p",
        "Images of a class (row) by answer (column); the darker, the larger "
        "the share of the row.",
        class_="small",
      ),
      confusion_table(matrix, names),
    ]
  else:
    text = f"A matrix of {len(names)} classes is too large to read; its pairs:"
    parts.append(element("p", text))
  return [*parts, confused_pairs(matrix, names)]


def confusion_table(matrix: np.ndarray, names: Sequence[str]) -> Markup:
  """The matrix as a table with shaded cells."""
  corner = element("td", "true \\ said")
  heads = [column_head(element("span", name)) for name in names]
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  rows = []
  for i, name in enumerate(names):
    cells = [
      element(
        "td",
        int(count) if count else "",
        class_="right" if i == j else "wrong",
        # The root lets a few percent be seen.
        style=f"--share:{np.sqrt(shares[i, j]):.2f}",
      )
      for j, count in enumerate(matrix[i])
    ]
    rows.append(element("tr", row_head(name), *cells))
  return table(
    "Confusion matrix", [element("tr", corner, *heads)], rows, class_="matrix"
  )


def confused_pairs(matrix: np.ndarray, names: Sequence[str]) -> Markup:
  """The pairs of a class and a wrong answer with the most images."""
  wrong = matrix - np.diag(np.diag(matrix))
  order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_PAIRS]
  pairs = [np.unravel_index(flat, wrong.shape) for flat in order]
  counts = matrix.sum(axis=1)
  rows = [
    element(
      "tr",
      row_head(names[true]),
      element("td", names[said]),
      element("td", int(wrong[true, said]), class_="number"),
      element(
        "td", f"{100 * wrong[true, said] / counts[true]:.1f}", class_="number"
      ),
    )
    for true, said in pairs
    if wrong[true, said]
  ]
  if not rows:
    return element("p", "No image is confused with another class.")
  heads = [column_head("true class"), column_head("said")]
  heads += [
    column_head(name, class_="number") for name in ("images", "% of the class")
  ]
  return join(
    element("h3", "Most confused pairs", id="pairs"),
    table("Most confused pairs", [element("tr", *heads)], rows),
  )


def mistakes_section(
  mistakes: Sequence[dict[str, Any]], names: Sequence[str]
) -> Markup:
  """The worst mistakes as pictures.

  Args:
    mistakes: of `report_best.describe`.
    names: [K].
  """
  title = "Worst mistakes"
  if not mistakes:
    return section("mistakes", title, element("p", "It makes none here."))
  text = "The wrong answers with the highest posteriors, the highest first."
  return section(
    "mistakes",
    title,
    element("p", text, class_="small"),
    gallery(mistakes, names),
  )


def maps_section(
  maps: Sequence[dict[str, Any]], names: Sequence[str]
) -> Markup:
  """Images under the posterior map of the answer; arguments as above."""
  return section(
    "maps",
    "Where it sees it",
    element(
      "p",
      "Images spread over the split, rescaled to two crops, under the dense "
      "posterior map of the system's first network for the system's answer: ",
      element("span", "0", class_="scale-end"),
      element("span", class_="scale", role="img", aria_label="clear"),
      element("span", "1", class_="scale-end"),
      class_="small",
    ),
    gallery(maps, names),
  )


def gallery(items: Sequence[dict[str, Any]], names: Sequence[str]) -> Markup:
  """Pictures with their true class, the answer and its posterior."""
  return element(
    "div", *(captioned(item, names) for item in items), class_="gallery"
  )


def captioned(item: dict[str, Any], names: Sequence[str]) -> Markup:
  """One picture of `gallery`."""
  true, said = names[item["true"]], names[item["said"]]
  is_wrong = item["true"] != item["said"]
  posterior = f"{100 * item['posterior']:.1f}\u00a0%"
  alt = f"Image {item['id']}: {true}; the answer is {said}, {posterior}"
  return element(
    "figure",
    picture(item["png"], alt) if item["png"] else None,
    element(
      "figcaption",
      "said ",
      element("strong", said, class_="mistake" if is_wrong else None),
      f" {posterior} ",
      element("span", f"true: {true} ") if is_wrong else None,
      element("span", item["id"], class_="id"),
    ),
  )
