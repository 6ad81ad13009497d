"""The folder of a training run: one training at a time, and how it goes on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vggjax import checkpoint, distributed, files
from vggjax.addresses import check_bucket, is_address
from vggjax.errors import InputError
from vggjax.tasks import run
from vggjax.train import loop, step

# Locked while a training runs.
LOCK_FILE = ".lock"


def go_on(
  checkpoints: checkpoint.Checkpoints,
  state: step.TrainState,
  card: dict[str, Any],
) -> step.TrainState:
  """The newest state that is not damaged; the card gets the mean of its run.

  Args:
    checkpoints: of the run.
    state: gives the structure.
    card: of the training set as it is now.

  Raises:
    InputError: if no checkpoint can be read, or the training set has changed.
  """
  state, damaged = loop.restore_newest(checkpoints, state)
  for error in damaged:
    run.note(f"{error}; it is set aside, and the one before it is used")
  saved = checkpoints.card(int(state.step))
  if saved["data"] != card["data"]:
    raise InputError(
      f"the images of the training set are not those that the run in "
      f"{checkpoints.folder.parent} began with; bring them back, or choose "
      "another workdir"
    )
  card["mean"] = saved["mean"]
  return state


def make(workdir: Path) -> None:
  """Makes a folder; in an object store its bucket must be there.

  Raises:
    InputError: if that cannot be done.
  """
  if is_address(workdir):
    check_bucket(workdir)
    return
  try:
    workdir.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise cannot_be_used(workdir, error) from error


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
  """Makes the workdir; no other training can run in it inside.

  Raises:
    InputError: if another one does, or the workdir cannot be used.
  """
  make(workdir)
  with contextlib.ExitStack() as stack:
    with distributed.together():
      if distributed.is_chief():
        stack.enter_context(_lock(workdir))
    yield


@contextlib.contextmanager
def _lock(workdir: Path) -> Iterator[None]:
  with contextlib.ExitStack() as stack:
    try:
      has_locks = stack.enter_context(files.locked(workdir / LOCK_FILE))
    except BlockingIOError as error:
      raise InputError(
        f"another training runs in {workdir} ({error.strerror}); wait for it "
        "or choose another workdir"
      ) from error
    except OSError as error:
      raise cannot_be_used(workdir, error) from error
    if not has_locks:
      run.note(
        f"{workdir} has no locks: see to it that no other training runs there"
      )
    yield


def cannot_be_used(workdir: Path, error: OSError) -> InputError:
  """What to raise where a workdir's files cannot be made."""
  return InputError(
    f"workdir {workdir} cannot be used: {error.strerror or error}"
  )
