"""The lines of `vggjax check`, and how they tell sizes and times."""

import contextlib
from collections.abc import Iterator

from vggjax.errors import InputError

OK, NOTE, FAIL = "ok", "note", "FAIL"


class Checklist:
  """The lines on the screen; each is printed when it is known.

  Attributes:
    failed: the subjects of those that fail.
  """

  def __init__(self):
    self.failed: list[str] = []

  def add(self, status: str, subject: str, text: str) -> None:
    """Prints a line."""
    if status == FAIL:
      self.failed.append(subject)
    print(f"{status:4}  {subject:11} {text}", flush=True)

  @contextlib.contextmanager
  def about(self, subject: str) -> Iterator[None]:
    """Makes bad input within a line that fails."""
    try:
      yield
    except InputError as error:
      self.add(FAIL, subject, str(error))


def some(names: list[str], count: int = 3) -> str:
  """The first few of many names."""
  more = ", ..." if len(names) > count else ""
  return f"{', '.join(names[:count])}{more}"


def size_text(count: float) -> str:
  """Of bytes: "1.66 GB", "23 MB"."""
  return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def duration(seconds: float) -> str:
  """Of seconds, in two units: "2 days 3 hours"."""
  units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
  rest, parts = round(seconds), []
  for name, size in units:
    number, rest = divmod(rest, size)
    if number:
      parts.append(f"{number} {name}{'s' if number > 1 else ''}")
  return " ".join(parts[:2]) or "0 seconds"
