"""What a result looks like: its cells, Markdown, JSON, and paths in it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vggjax.evaluate.bootstrap import mean_interval, verdict

ABSOLUTE = re.compile(r"(?<![\w.~)…])/(?=[^\s/])(?:[^\s'\"]*/)?([^\s'\"/]*)")


def error_cell(wrong: Sequence[np.ndarray], all_seeds: Sequence[int]) -> dict:
  """What is known of an error.

  Args:
    wrong: float [N] for each seed, 100 where an image is wrong.
    all_seeds: those of the whole table.
  """
  wrong = np.array(wrong)
  seeds = wrong.mean(axis=1)
  low, high = mean_interval(wrong.mean(axis=0))
  value = float(seeds.mean())
  spread = float(seeds.std(ddof=1)) if len(seeds) > 1 else None
  text = f"{value:.2f}"
  if spread is not None:
    text += f" ± {spread:.2f}"
  text += f" [{low:.1f}, {high:.1f}]"
  return {
    "value": value,
    "spread": spread,
    "interval": [low, high],
    "seeds": seeds.tolist(),
    "text": text + fewer_seeds(len(seeds), all_seeds),
  }


def difference_cell(
  by_seed: Sequence[float],
  interval: tuple[float, float],
  all_seeds: Sequence[int],
) -> dict:
  """What is known of a difference that a finding says is above 0.

  Args:
    by_seed: the difference with each seed, points.
    interval: of their mean.
    all_seeds: those of all findings.
  """
  value, (low, high) = float(np.mean(by_seed)), interval
  word = verdict(low, high)
  text = f"{value:+.2f} [{low:+.2f}, {high:+.2f}], {word}"
  return {
    "value": value,
    "interval": [low, high],
    "seeds": list(by_seed),
    "verdict": word,
    "text": text + fewer_seeds(len(by_seed), all_seeds),
  }


def fewer_seeds(count: int, all_seeds: Sequence[int]) -> str:
  """What a cell says that lacks seeds which others have."""
  if count == len(all_seeds):
    return ""
  return f", {count} of {len(all_seeds)} seeds"


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
      cells.append("" if figure is None else str(figure))
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


def short_paths(text: str) -> str:
  """A text whose absolute paths are relative to here, or their last part."""
  text = text.replace(f"{Path.cwd()}/", "")
  return ABSOLUTE.sub(r"…/\1", text)


def short_path(path: Path, parts: int = 3) -> str:
  """A path relative to here; of one elsewhere the last parts."""
  path = Path(path)
  if not path.is_absolute():
    return str(path)
  if path.is_relative_to(Path.cwd()):
    return str(path.relative_to(Path.cwd()))
  return "/".join(["…", *path.parts[1:][-parts:]])
