"""Figures as PNG files, drawn without a screen."""

import os
from pathlib import Path
from typing import BinaryIO

from matplotlib.figure import Figure

from vggjax.files import written_whole

DPI = 120


def short_name(name: str, longest: int = 26) -> str:
  """A class's first synonym, cut to fit over a picture."""
  first = name.split(",")[0]
  return first if len(first) <= longest else first[: longest - 1] + "…"


def save(
  figure: Figure, file: str | Path | BinaryIO, *, transparent: bool = False
) -> None:
  """Writes a PNG; a killed write to a path leaves the older file."""
  options = {"format": "png", "dpi": DPI, "transparent": transparent}
  if not isinstance(file, str | os.PathLike):
    figure.savefig(file, **options)
    return
  with written_whole(file) as temporary:
    figure.savefig(temporary, **options)
