"""What the processes of one run check before they compute."""

import secrets
import time
from pathlib import Path
from typing import Any

import jax

from vggjax import checkpoint, distributed
from vggjax.errors import InputError
from vggjax.tasks import run, workdirs

# Seconds that a network file system may take to show a file.
PATIENCE = 20.0


def refuse_several(what: str) -> None:
  """Raises SharedError in one of several processes; they cannot do `what`."""
  if distributed.count() > 1:
    raise distributed.SharedError(
      f"{what} runs in one process, this is one of {distributed.count()}; "
      "train and evaluate (of classes) run in several"
    )


def check_workdir(workdir: Path) -> None:
  """Raises SharedError unless all processes see the chief's workdir."""
  if distributed.count() == 1:
    return
  [token, *_] = distributed.gather(secrets.token_hex(8))
  path = workdir / f".seen-{token}"
  with distributed.together():
    if distributed.is_chief():
      workdirs.make(workdir)
      try:
        path.touch()
      except OSError as error:
        raise workdirs.cannot_be_used(workdir, error) from error
  with distributed.together():
    end = time.monotonic() + PATIENCE
    while not path.exists():
      if time.monotonic() > end:
        raise InputError(
          f"workdir {workdir} is not the one that process 0 sees; it must be "
          "on a file system that all processes share, or on gs://"
        )
      time.sleep(0.2)
  if distributed.is_chief():
    path.unlink()


def shares() -> dict[str, int]:
  """Which share of each batch is this process's, for `vggjax.data`."""
  return {
    "process_index": distributed.index(),
    "process_count": distributed.count(),
  }


def agree_on_data(**sources: Any) -> None:
  """Raises SharedError unless all processes read the same data sets.

  Args:
    **sources: by the name of their use; None where there is none.
  """
  if distributed.count() == 1:
    return
  what = {}
  for name, source in sources.items():
    if source:
      what[f"number of {name} images"] = source.num_examples
      what[f"{name} fingerprint"] = source.fingerprint[:16]
  distributed.agree(what)


def topology(devices: list[jax.Device]) -> dict[str, int]:
  """What a checkpoint's card says of where it was trained."""
  return {"processes": distributed.count(), "devices": len(devices)}


def note_topology(card: dict[str, Any], devices: list[jax.Device]) -> None:
  """Says so where a run goes on with other processes or devices."""
  before, now = card.get("topology"), topology(devices)
  if before and before != now:
    run.note(
      f"saved with {_words(before)}, goes on with {_words(now)}; the same up "
      "to rounding"
    )


def _words(found: dict[str, int]) -> str:
  return ", ".join(
    f"{count} {name if count > 1 else singular}"
    for (name, count), singular in zip(
      found.items(), ("process", "device"), strict=True
    )
  )


def agree_on_state(state: Any) -> None:
  """Raises SharedError unless all processes start from the same state."""
  if distributed.count() > 1:
    digest = checkpoint.params_hash(state)
    distributed.agree({"hash of the state": digest[:16]})
