"""The results of the GPU benchmark as one Markdown table."""

from collections.abc import Mapping

from benchmarks._gpu_bench import Case, Result

NOT_MEASURED = "not measured"


def table(cases: list[Case], results: Mapping[str, Result | str]) -> str:
  """Markdown; a text in place of a result says why there is none."""
  head = (
    *("what", "rate", "TFLOP/s", "of ceiling", "torch", "ratio", "goal"),
    *("met?", "notes"),
  )
  lines = [head, ["---"] * len(head)]
  for case in cases:
    result = results.get(case.name, NOT_MEASURED)
    lines.append([case.name, *_cells(case, result)])
  return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cells(case: Case, result: Result | str) -> list[str]:
  goals = []
  if case.least_ratio is not None:
    goals.append(f"ratio {case.least_ratio:.1f}")
  if case.least_share is not None:
    goals.append(f"{100 * case.least_share:.0f} %")
  goal = ", ".join(goals)
  if isinstance(result, str):
    return [result, "", "", "", "", goal, "", ""]
  return [
    "" if result.rate is None else f"{result.rate:,.1f} {result.unit}",
    f"{result.flops / 1e12:.1f}" if result.flops else "",
    "" if result.share is None else f"{100 * result.share:.1f} %",
    "; ".join(f"{name} {rate:,.1f}" for name, rate in result.peers.items()),
    "" if result.ratio is None else f"{result.ratio:.2f}",
    goal,
    met(case, result),
    result.note,
  ]


def met(case: Case, result: Result) -> str:
  """Whether a case's goals are met: "yes", "no", or "" without a goal."""
  pairs = (
    (case.least_ratio, result.ratio),
    (case.least_share, result.share),
  )
  verdicts = [
    found is not None and found >= least
    for least, found in pairs
    if least is not None
  ]
  return ("yes" if all(verdicts) else "no") if verdicts else ""
