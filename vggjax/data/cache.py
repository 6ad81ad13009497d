"""What was computed of a data set, kept as small JSON files."""

import json
import os
from pathlib import Path
from typing import Any

from vggjax import distributed
from vggjax.files import cache_folder, written_whole


def cache_path(
  kind: str, fingerprint: str, cache_dir: str | os.PathLike | None = None
) -> Path:
  """The file for one kind of result of one source.

  Args:
    kind: "statistics" or "unreadable".
    fingerprint: of the source.
    cache_dir: None: $VGGJAX_CACHE, or else ~/.cache/vggjax.
  """
  folder = cache_folder() if cache_dir is None else Path(cache_dir).expanduser()
  return folder / kind / f"{fingerprint}.json"


def read_json(path: Path) -> Any | None:
  """The file's content; None if it is not there or damaged: it can be had."""
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except (FileNotFoundError, ValueError):
    return None


def first_found(content: Any | None) -> Any | None:
  """What `read_json` found in any process, for all of them."""
  found = [each for each in distributed.gather(content) if each is not None]
  return found[0] if found else None


def write_json(path: Path, content: Any) -> None:
  """Write a file that is either complete or not there at all."""
  with written_whole(path) as temporary:
    temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
