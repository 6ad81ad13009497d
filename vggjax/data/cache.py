"""What was computed of a data set, kept as small JSON files."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def cache_path(
  kind: str, fingerprint: str, cache_dir: str | os.PathLike | None = None
) -> Path:
  """The file for one kind of result of one source.

  Args:
    kind: "statistics" or "unreadable".
    fingerprint: of the source.
    cache_dir: None: $VGGJAX_CACHE, or else ~/.cache/vggjax.
  """
  if cache_dir is None:
    cache_dir = os.environ.get("VGGJAX_CACHE") or "~/.cache/vggjax"
  return Path(cache_dir).expanduser() / kind / f"{fingerprint}.json"


def read_json(path: Path) -> Any | None:
  """The file's content, or None if it is not there."""
  if not path.is_file():
    return None
  return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
  """Write a file that is either complete or not there at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".partial")
  try:
    with os.fdopen(handle, "w", encoding="utf-8") as file:
      json.dump(content, file, indent=2)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise
