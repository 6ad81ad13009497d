"""A checkpoint's card with the digests by which damage is noticed.

OCDBT's CRC-32C covers the nodes of its tree but not the values of the arrays,
and JSON has none: a flipped bit in either would pass. So the card's file holds
    card: what the parameters mean;
    watched_error: percent, null where there was no validation;
    sha256: of the params, of the training arrays, and, as "card", of all this.
Cards written before there were digests stand alone, and are taken as they are.
"""

import contextlib
import gc
import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vggjax.addresses import is_unreached
from vggjax.errors import InputError

KEYS = {"card", "watched_error", "sha256"}


class DamagedError(InputError):
  """A checkpoint is not as it was saved."""

  def __init__(self, folder: Any, reason: str):
    super().__init__(f"checkpoint {folder} is damaged: {reason}")


def seal(
  card: Mapping[str, Any],
  watched_error: float | None,
  arrays: Mapping[str, Any],
) -> dict[str, Any]:
  """The content of a card's file.

  Args:
    card: JSON values.
    watched_error: percent.
    arrays: trees of NumPy arrays by the names of their items.
  """
  digests = {name: digest(tree) for name, tree in arrays.items()}
  content = {"card": card, "watched_error": watched_error, "sha256": digests}
  return {**content, "sha256": {**digests, "card": _digest_of_json(content)}}


def read(path: Path, folder: Path) -> dict[str, Any]:
  """The content of a card's file, checked; without digests if it is older.

  Args:
    path: of the file.
    folder: of the checkpoint, for messages.

  Raises:
    DamagedError: if it is missing or not as it was written.
  """
  try:
    content = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    if is_unreached(path, error):
      raise
    raise DamagedError(folder, f"its card cannot be read ({error})") from error
  if not isinstance(content, dict):
    raise DamagedError(folder, "its card is not one")
  if not KEYS & set(content):
    return {"card": content, "watched_error": _old_error(folder)}
  if set(content) != KEYS or not isinstance(content["sha256"], dict):
    raise DamagedError(folder, "its card is not as it was saved")
  digests = dict(content["sha256"])
  found = digests.pop("card", None)
  if found != _digest_of_json({**content, "sha256": digests}):
    raise DamagedError(folder, "its card is not as it was saved")
  return content


def _old_error(folder: Path) -> float | None:
  """The watched error beside a card of the older form."""
  path = folder / "metrics" / "metrics"
  if not path.exists():
    return None
  try:
    return float(json.loads(path.read_text())["watched_error"])
  except (KeyError, TypeError, ValueError) as error:
    raise DamagedError(folder, f"its metrics cannot be read ({error})") from (
      error
    )


def check(name: str, tree: Any, content: dict[str, Any], folder: Path) -> None:
  """Raises DamagedError unless arrays are those saved.

  Args:
    name: of the item.
    tree: its NumPy arrays.
    content: from `read`.
    folder: of the checkpoint, for messages.
  """
  if "sha256" in content and digest(tree) != content["sha256"].get(name):
    raise DamagedError(folder, f"arrays of {name} are not those saved")


def digest(tree: Any) -> str:
  """SHA-256 of the arrays of a tree in hex, whatever their names and order."""
  leaves = []
  for leaf in jax.tree.leaves(tree):
    array = np.asarray(leaf)
    header = json.dumps([list(array.shape), array.dtype.name]).encode()
    found = hashlib.sha256(header)
    # As bytes: not all types, e.g. bfloat16, have a buffer.
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    leaves.append(found.digest())
  return hashlib.sha256(b"".join(sorted(leaves))).hexdigest()


def _digest_of_json(value: Any) -> str:
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
  """Whatever orbax raises inside is a DamagedError; its noise is not shown.

  But not what tells of the way to an object store.
  """
  asyncio = logging.getLogger("asyncio")
  level = asyncio.level
  asyncio.setLevel(logging.CRITICAL)
  try:
    with contextlib.redirect_stderr(io.StringIO()):
      try:
        yield
      except Exception as error:
        if is_unreached(folder, error):
          raise
        reason = str(error).splitlines() or [type(error).__name__]
        # Futures that were given up complain when they go: let them go here.
        error.__traceback__ = None
        gc.collect()
        raise DamagedError(folder, reason[0][:300]) from None
  finally:
    asyncio.setLevel(level)
