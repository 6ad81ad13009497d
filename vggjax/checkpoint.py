"""Checkpoints of everything a run needs to go on (orbax).

A checkpoint holds three items: `params`, `training` (all other arrays of the
state) and `card` (JSON: what the parameters mean, with digests of all three).
A save goes to a temporary folder that is renamed when complete, so a killed
save leaves the older ones.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from vggjax import orbax_manager, seal
from vggjax.addresses import absolute, location
from vggjax.errors import InputError, StorageError
from vggjax.seal import DamagedError

# Of a run's folder.
FOLDER = "checkpoints"
CONFIG_FILE = "config.json"
EVALUATION_FOLDER = "evaluation"
# Of a checkpoint's folder.
CARD_FILE = "card/metadata"


class Checkpoints:
  """The checkpoints of one run; close it to wait for the last save.

  Args:
    workdir: the run's folder.
    keep: how many of the newest to keep; the best is kept besides.
    read_only: whether nothing will be saved.
  """

  def __init__(self, workdir: str | Path, *, keep: int = 3, read_only=False):
    self.folder = _folder_of(workdir)
    # Of the checkpoints saved here and before, for what is kept.
    self._errors = {}
    self._manager = orbax_manager.open_manager(
      self.folder, keep, self._errors, read_only=read_only
    )
    for step in [] if read_only else self.steps():
      with contextlib.suppress(DamagedError):
        self._errors[step] = self._read(step)["watched_error"]

  def steps(self) -> list[int]:
    """The steps of the complete checkpoints, oldest first."""
    return sorted(self._manager.all_steps())

  def best_step(self) -> int | None:
    """The step of the lowest watched error; the newest where none has one.

    Raises:
      DamagedError: if one of the cards is, so that it may be the best.
    """
    steps = self.steps()
    # Without a card: a run was killed while it deleted this one.
    known = [s for s in steps if (self.folder / str(s) / CARD_FILE).exists()]
    return orbax_manager.best_step(
      [(step, self._read(step)["watched_error"]) for step in known or steps]
    )

  def save(
    self,
    step: int,
    params: Any,
    training: Any,
    card: Mapping[str, Any],
    watched_error: float | None = None,
  ) -> None:
    """Starts to save; the arrays must be on the host, and stay unchanged.

    Args:
      step: the steps done.
      params: a tree of NumPy arrays.
      training: a tree of NumPy arrays.
      card: JSON values.
      watched_error: percent, of the validation at this step if there was one.

    Raises:
      StorageError: if this or the save before it cannot be written.
    """
    arrays = {"params": params, "training": training}
    self._errors[step] = watched_error
    with self._writing():
      self._manager.save(
        step,
        args=ocp.args.Composite(
          params=ocp.args.StandardSave(params),
          training=ocp.args.StandardSave(training),
          card=ocp.args.JsonSave(seal.seal(dict(card), watched_error, arrays)),
        ),
        force=True,
      )

  def check(self) -> None:
    """Raises StorageError if the save under way has failed."""
    if not self._manager.is_saving_in_progress():
      self.wait()

  def restore(self, step: int, params: Any, training: Any) -> tuple[Any, Any]:
    """Restores a run's arrays.

    Args:
      step: one of `steps()`.
      params: a tree of arrays of the shapes saved.
      training: likewise.

    Returns:
      Both trees with the saved values, as NumPy arrays.

    Raises:
      DamagedError: if they are not those saved.
    """
    return self._restore(
      step, params=_host_template(params), training=_host_template(training)
    )

  def restore_newest(
    self, params: Any, training: Any
  ) -> tuple[int, Any, Any, list[DamagedError]]:
    """Restores the newest checkpoint that is not damaged.

    Damaged ones that are newer are renamed to STEP.damaged, out of the way of
    the run that goes on.

    Args:
      params: as of `restore`.
      training: likewise.

    Returns:
      Its step, both trees, and what is wrong with the newer ones.

    Raises:
      InputError: if all are damaged.
    """
    damaged = {}
    for step in reversed(self.steps()):
      try:
        found = self.restore(step, params, training)
      except DamagedError as error:
        damaged[step] = error
        continue
      self._set_aside(damaged)
      return step, *found, list(damaged.values())
    reasons = "; ".join(map(str, damaged.values())) or "none is complete"
    raise InputError(
      f"no checkpoint in {self.folder} can be read: {reasons}; bring one back "
      "from a backup, or start in a new workdir"
    )

  def _set_aside(self, steps: Iterable[int]) -> None:
    for step in steps if jax.process_index() == 0 else ():
      folder = self.folder / str(step)
      aside = folder.with_name(f"{step}.damaged")
      if aside.exists():
        aside.rmtree()
      folder.rename(aside)
    multihost_utils.sync_global_devices("damaged checkpoints are set aside")
    self._manager.reload()

  def restore_params(self, step: int) -> tuple[dict, dict[str, Any]]:
    """The parameters as NumPy arrays, and the card, of a saved step.

    Raises:
      DamagedError: if they are not those saved.
    """
    with seal.reading(self.folder / str(step)):
      metadata = self._manager.item_metadata(step)["params"]
      template = jax.tree.map(
        lambda m: np.zeros(m.shape, m.dtype), dict(metadata.tree)
      )
    [params] = self._restore(step, params=template)
    return params, self.card(step)

  def _restore(self, step: int, **templates: Any) -> list[Any]:
    content = self._read(step)
    folder = self.folder / str(step)
    with seal.reading(folder):
      restored = self._manager.restore(
        step,
        args=ocp.args.Composite(
          **{
            name: ocp.args.StandardRestore(template)
            for name, template in templates.items()
          }
        ),
      )
    for name in templates:
      seal.check(name, restored[name], content, folder)
    return [restored[name] for name in templates]

  def _read(self, step: int) -> dict[str, Any]:
    folder = self.folder / str(step)
    return seal.read(folder / CARD_FILE, folder)

  def card(self, step: int) -> dict[str, Any]:
    """The card of a saved step; raises DamagedError if that is."""
    return self._read(step)["card"]

  def wait(self) -> None:
    """Returns when the last save is complete.

    Raises:
      StorageError: if it cannot be written.
    """
    with self._writing():
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for the last save as `wait` does; frees what saving needs."""
    with self._writing():
      self._manager.close()

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    """Whatever orbax raises inside is a StorageError."""
    try:
      yield
    except Exception as error:
      steps = self.steps()
      kept = f"that of step {steps[-1]} is kept" if steps else "there is none"
      reason = (str(error).splitlines() or [type(error).__name__])[0]
      # What tensorstore says goes on about its own formats.
      if match := re.search(r"(?:os_error_code='|OS error )(\d+)", reason):
        reason = os.strerror(int(match[1]))
      raise StorageError(
        f"cannot save a checkpoint in {self.folder}: {reason[:300]}; {kept}, "
        "and the same command goes on from there"
      ) from error

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *_) -> None:
    self.close()


def load_run(
  workdir: str | Path, which: str = "best"
) -> tuple[dict, dict, int]:
  """Loads the parameters of a training run.

  Args:
    workdir: the run's folder.
    which: "best" (lowest watched error), "last", or a step's number.

  Returns:
    The parameters, the card and the step.

  Raises:
    InputError: if the folder holds no checkpoint, or not that one, or it is
      damaged.
  """
  folder = _folder_of(workdir)
  if not folder.exists():
    raise InputError(f"{workdir} holds no training run: {folder} is missing")
  with Checkpoints(workdir, read_only=True) as checkpoints:
    steps = checkpoints.steps()
    if not steps:
      raise InputError(f"{folder} holds no complete checkpoint yet")
    if which == "best":
      step = checkpoints.best_step()
    elif which == "last":
      step = steps[-1]
    elif str(which).isdigit() and int(which) in steps:
      step = int(which)
    else:
      raise InputError(
        f"checkpoint {which!r} is not best, last or one of the saved steps "
        f"{', '.join(map(str, steps))} in {folder}"
      )
    params, card = checkpoints.restore_params(step)
  return params, card, step


def latest_card(workdir: str | Path) -> tuple[dict[str, Any], int] | None:
  """The newest card of a run that is not damaged, and its step.

  Returns:
    None without a checkpoint.

  Raises:
    DamagedError: if all cards are.
  """
  if not has_checkpoints(workdir):
    return None
  found = None
  with Checkpoints(workdir, read_only=True) as checkpoints:
    for step in reversed(checkpoints.steps()):
      try:
        return checkpoints.card(step), step
      except DamagedError as error:
        found = found or error
  if found:
    raise found
  return None


def has_checkpoints(workdir: str | Path) -> bool:
  """Whether a folder holds a complete checkpoint."""
  folder = _folder_of(workdir)
  return folder.exists() and any(
    path.name.isdigit() and ocp.utils.is_checkpoint_finalized(path)
    for path in folder.iterdir()
  )


def _folder_of(workdir: str | Path) -> epath.Path:
  """Where a run's checkpoints are; orbax wants the whole path."""
  return epath.Path(absolute(location(workdir))) / FOLDER


def params_hash(params: Any) -> str:
  """SHA-256 over names, shapes, types and values of a tree, in hex."""
  digest = hashlib.sha256()
  for path, array in jax.tree_util.tree_leaves_with_path(params):
    array = np.ascontiguousarray(array)
    name = jax.tree_util.keystr(path)
    header = json.dumps([name, list(array.shape), array.dtype.name])
    digest.update(header.encode())
    digest.update(array.data)
  return digest.hexdigest()


def _host_template(tree: Any) -> Any:
  return jax.tree.map(lambda a: np.zeros(np.shape(a), a.dtype), tree)
