"""The findings and the tables of a report, from the JSON of `output.write`."""

from collections.abc import Collection, Sequence

from experiments import output
from experiments.output import short_paths
from experiments.report_html import (
  Markup,
  element,
  join,
  link,
  note,
  scrolling,
  section,
)

BADGES = {"holds": "holds", "does not hold": "fails", "undecided": "open"}


def findings_section(result: dict | None, missing: str = "") -> Markup:
  """The paper's findings with what became of each.

  Args:
    result: findings.json; None: it is not there.
    missing: what to say then.
  """
  title = "The paper's findings"
  if result is None:
    return section("findings", title, note(missing))
  return section("findings", title, findings_part(result, "top-1 error"))


def findings_part(result: dict, error: str) -> Markup:
  """A table of findings with what became of each.

  Args:
    result: of `findings.run_findings`.
    error: what a finding compares.
  """
  heads = [column_head(name) for name in (*result["columns"], "Verdict")]
  heads += [column_head(kind, class_="number") for kind in ("paper", "ours")]
  rows = [finding_row(row, result["seeds"]) for row in result["rows"]]
  verdicts = [verdict_of(row) for row in result["rows"]]
  counts = [
    f"{word}: {verdicts.count(word)}"
    for word in (*BADGES, "not measured")
    if word in verdicts
  ]
  return join(
    element("p", f"{len(rows)} findings; {', '.join(counts)}."),
    element(
      "p",
      f"A finding says that one system's {error} is above another's; the "
      "figures are the difference of the two in percentage points. It holds "
      "where the 95 % bootstrap interval over the images, in brackets, lies "
      "above 0, does not hold where it lies below, and is undecided where it "
      "contains 0.",
      class_="small",
    ),
    table(result["title"], [element("tr", *heads)], rows),
    command(result),
  )


def verdict_of(row: dict) -> str:
  """What a row of findings.json says of its finding."""
  return row["ours"][0]["verdict"] if row["ours"] else "not measured"


def finding_row(row: dict, seeds: Sequence[int]) -> Markup:
  """A finding, its section, verdict, the paper's difference and ours.

  Args:
    row: of findings.json.
    seeds: of all findings.
  """
  text, number = row["labels"]
  verdict = verdict_of(row)
  paper = "" if row["paper"][0] is None else signed(row["paper"][0])
  ours = ["–"]
  if row["ours"]:
    cell = row["ours"][0]
    low, high = map(signed, cell["interval"])
    fewer = output.fewer_seeds(len(cell["seeds"]), seeds)
    ours = [signed(cell["value"]), " ", interval(f"[{low}, {high}]{fewer}")]
  return element(
    "tr",
    row_head(text),
    element("td", number),
    element(
      "td",
      element(
        "span", verdict, class_=f"badge {BADGES.get(verdict, 'unmeasured')}"
      ),
    ),
    element("td", paper, class_="number"),
    element("td", *ours, class_="number"),
  )


def table_section(
  result: dict, runs: Collection[str], said: str = ""
) -> Markup:
  """A table: paper | ours | difference, linked to its runs.

  Args:
    result: of a table's JSON.
    runs: the runs that have a section.
    said: the caption that need not be repeated.
  """
  columns = shown_columns(result)
  has_runs = any(row.get("runs") for row in result["rows"])
  rows = [
    table_row(row, columns, runs if has_runs else None)
    for row in result["rows"]
  ]
  title = element("h3", result["title"], id=result["name"])
  heads = table_heads(result, columns, has_runs)
  caption = output.caption(result)
  return join(
    title,
    table(result["title"], heads, rows, class_="figures"),
    element("p", short_paths(caption), class_="small")
    if caption != said
    else None,
    command(result),
  )


def shown_columns(result: dict) -> list[list[str]]:
  """Which of paper, ours and difference each measure has figures for."""
  shown = []
  for i, _ in enumerate(result["measures"]):
    has_paper = [row["paper"][i] is not None for row in result["rows"]]
    has_ours = [bool(row["ours"] and row["ours"][i]) for row in result["rows"]]
    both = [p and o for p, o in zip(has_paper, has_ours, strict=True)]
    kinds = {"paper": has_paper, "ours": has_ours, "difference": both}
    shown.append([kind for kind, there in kinds.items() if any(there)])
  return shown


def table_heads(
  result: dict, columns: Sequence[Sequence[str]], has_runs: bool
) -> list[Markup]:
  """The two rows of heads: measures above paper, ours and difference."""
  first = [column_head(name, rowspan=2) for name in result["columns"]]
  for name, kinds in zip(result["measures"], columns, strict=True):
    if kinds:
      first.append(
        element(
          "th",
          element("span", name),
          scope="colgroup",
          colspan=len(kinds),
          class_="measure",
        )
      )
  if has_runs:
    first.append(column_head("runs", rowspan=2))
  second = [
    column_head(kind, class_="number") for kinds in columns for kind in kinds
  ]
  return [element("tr", *first), element("tr", *second)]


def table_row(
  row: dict, columns: Sequence[Sequence[str]], runs: Collection[str] | None
) -> Markup:
  """A row's labels and figures.

  Args:
    row: of a table's JSON.
    columns: of `shown_columns`.
    runs: those that can be linked; None: the table has none.
  """
  head, *labels = row["labels"]
  cells = [row_head(head), *(element("td", label) for label in labels)]
  ours = row["ours"] or [None] * len(columns)
  for kinds, figure, cell in zip(columns, row["paper"], ours, strict=True):
    texts = {
      "paper": ["" if figure is None else str(figure)],
      "ours": our_figure(cell),
      "difference": [difference(figure, cell)],
    }
    cells += [element("td", *texts[kind], class_="number") for kind in kinds]
  if runs is not None:
    links = run_links(row.get("runs", ()), runs)
    cells.append(element("td", element("span", *links), class_="runs"))
  return element("tr", *cells)


def our_figure(cell: dict | None) -> list:
  """A figure of ours, its interval in small print."""
  if not cell:
    return [""]
  value, bracket, rest = cell["text"].partition(" [")
  if not bracket:
    return [value]
  return [value, " ", interval(f"[{rest}")]


def difference(figure: float | str | None, cell: dict | None) -> str:
  """Ours less the paper's; "" where one is missing."""
  if figure is None or not cell:
    return ""
  # A figure may have its spread: "91.8 ± 1.0".
  return signed(cell["value"] - float(str(figure).split()[0]))


def signed(value: float) -> str:
  """A difference with its sign, two decimals."""
  return f"{value:+.2f}".replace("-", "−")


def run_links(names: Sequence[str], known: Collection[str]) -> list:
  """Links to the sections of runs, each once."""
  children = []
  for name in dict.fromkeys(names):
    children += [
      ", " if children else None,
      link(f"run-{name}", name) if name in known else name,
    ]
  return children


def command(result: dict) -> Markup:
  """The command that makes a result."""
  return scrolling(
    f"command of {result['name']}",
    element("pre", element("code", short_paths(result["command"]))),
  )


def table(
  label: str, heads: Sequence[Markup], rows: Sequence[Markup], class_=None
) -> Markup:
  """A table in a box of its own that scrolls."""
  return scrolling(
    label,
    element(
      "table",
      element("caption", label, class_="unseen"),
      element("thead", *heads),
      element("tbody", *rows),
      class_=class_,
    ),
  )


def column_head(name: object, **attributes: object) -> Markup:
  """The head of a column."""
  return element("th", name, scope="col", **attributes)


def row_head(name: object) -> Markup:
  """The head of a row."""
  return element("th", element("span", name), scope="row")


def interval(text: str) -> Markup:
  """An interval in small print."""
  return element("span", text, class_="interval")
