"""Copies the tables under experiments/results into the documents.

  python -m experiments.include [--check] [FILE.md ...]

Between the two lines

  <!-- include experiments/results/mini/shapes/table3.md -->
  <!-- end -->

the file named stands, as it is now; paths are relative to the document's
repository. Without files: README.md and docs/*.md. --check writes nothing and
ends with status 1 if a document differs.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
  r"(<!-- include (?P<path>\S+) -->\n).*?(<!-- end -->)", re.DOTALL
)


def included(text: str, root: Path) -> str:
  """A document's text with what it includes brought up to date.

  Raises:
    FileNotFoundError: if a file to include is missing.
  """

  def fill(match):
    content = (root / match["path"]).read_text().strip()
    return f"{match[1]}\n{content}\n\n{match[3]}"

  return BLOCK.sub(fill, text)


def documents(root: Path = ROOT) -> list[Path]:
  """README.md and docs/*.md."""
  return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def main(arguments: Sequence[str] | None = None) -> int:
  """Updates or checks the documents; returns the exit status."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.include", description=__doc__.splitlines()[0]
  )
  parser.add_argument("files", nargs="*", type=Path)
  parser.add_argument("--check", action="store_true")
  options = parser.parse_args(arguments)
  differing = []
  for path in options.files or documents():
    before = path.read_text()
    try:
      after = included(before, ROOT)
    except FileNotFoundError as error:
      print(f"include: {path} needs {error.filename}", file=sys.stderr)
      return 2
    if after != before:
      differing.append(path)
      if not options.check:
        path.write_text(after)
  verb = "differs from the results" if options.check else "updated"
  for path in differing:
    print(f"{path} {verb}")
  return 1 if options.check and differing else 0


if __name__ == "__main__":
  sys.exit(main())
