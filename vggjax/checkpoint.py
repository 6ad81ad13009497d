"""Checkpoints of everything a run needs to go on (orbax).

A checkpoint holds three items: `params`, `training` (all other arrays of the
state) and `card` (JSON: what the parameters mean). A save goes to a temporary
folder that is renamed when complete, so a killed save leaves the older ones.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from vggjax.errors import InputError

# Of a run's folder.
FOLDER = "checkpoints"
CONFIG_FILE = "config.json"
EVALUATION_FOLDER = "evaluation"


class Checkpoints:
  """The checkpoints of one run; close it to wait for the last save.

  Args:
    workdir: the run's folder.
    keep: how many of the newest to keep; the best is kept besides.
    read_only: whether nothing will be saved.
  """

  def __init__(self, workdir: str | Path, *, keep: int = 3, read_only=False):
    self.folder = epath.Path(workdir).expanduser().resolve() / FOLDER
    with _quiet():  # orbax warns of a read-only manager's being one.
      self._manager = self._open(keep, read_only)

  def _open(self, keep: int, read_only: bool) -> ocp.CheckpointManager:
    policies = ocp.checkpoint_managers
    options = ocp.CheckpointManagerOptions(
      best_fn=_watched_error,
      best_mode="min",
      preservation_policy=policies.AnyPreservationPolicy(
        [
          policies.LatestN(keep),
          policies.BestN(
            get_metric_fn=_watched_error,
            reverse=True,
            n=1,
            keep_checkpoints_without_metrics=False,
          ),
        ]
      ),
      cleanup_tmp_directories=not read_only,
      read_only=read_only,
      create=not read_only,
    )
    return ocp.CheckpointManager(
      self.folder,
      options=options,
      item_handlers={
        "params": ocp.StandardCheckpointHandler(),
        "training": ocp.StandardCheckpointHandler(),
        "card": ocp.JsonCheckpointHandler(),
      },
    )

  def steps(self) -> list[int]:
    """The steps of the complete checkpoints, oldest first."""
    return sorted(self._manager.all_steps())

  def best_step(self) -> int | None:
    """The step of the lowest watched error; the newest where none has one."""
    best = self._manager.best_step()
    return self._manager.latest_step() if best is None else best

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
    """
    metrics = None
    if watched_error is not None:
      metrics = {"watched_error": watched_error}
    self._manager.save(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardSave(params),
        training=ocp.args.StandardSave(training),
        card=ocp.args.JsonSave(dict(card)),
      ),
      metrics=metrics,
      force=True,
    )

  def restore(self, step: int, params: Any, training: Any) -> tuple[Any, Any]:
    """Restores a run's arrays.

    Args:
      step: one of `steps()`.
      params: a tree of arrays of the shapes saved.
      training: likewise.

    Returns:
      Both trees with the saved values, as NumPy arrays.
    """
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardRestore(_host_template(params)),
        training=ocp.args.StandardRestore(_host_template(training)),
      ),
    )
    return restored["params"], restored["training"]

  def restore_params(self, step: int) -> tuple[dict, dict[str, Any]]:
    """The parameters as NumPy arrays, and the card, of a saved step."""
    manager = self._manager
    metadata = manager.item_metadata(step)["params"]
    template = jax.tree.map(
      lambda m: np.zeros(m.shape, m.dtype), dict(metadata.tree)
    )
    restored = manager.restore(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardRestore(template), card=ocp.args.JsonRestore()
      ),
    )
    return restored["params"], restored["card"]

  def card(self, step: int) -> dict[str, Any]:
    """The card of a saved step."""
    args = ocp.args.Composite(card=ocp.args.JsonRestore())
    return self._manager.restore(step, args=args)["card"]

  def wait(self) -> None:
    """Returns when the last save is complete."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for the last save and frees what saving needs."""
    self._manager.close()

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
    InputError: if the folder holds no checkpoint, or not that one.
  """
  folder = epath.Path(workdir).expanduser() / FOLDER
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
  """The card and the step of a run's newest checkpoint; None without one."""
  if not has_checkpoints(workdir):
    return None
  with Checkpoints(workdir, read_only=True) as checkpoints:
    steps = checkpoints.steps()
    return (checkpoints.card(steps[-1]), steps[-1]) if steps else None


def has_checkpoints(workdir: str | Path) -> bool:
  """Whether a folder holds a complete checkpoint."""
  folder = epath.Path(workdir).expanduser() / FOLDER
  return folder.exists() and any(p.name.isdigit() for p in folder.iterdir())


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Only absl's errors are shown inside."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)


def _watched_error(metrics: Mapping[str, float]) -> float:
  return metrics["watched_error"]


def _host_template(tree: Any) -> Any:
  return jax.tree.map(lambda a: np.zeros(np.shape(a), a.dtype), tree)
