"""How orbax is to save: what of, and which checkpoints are kept."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orbax.checkpoint as ocp
from absl import logging
from etils import epath


def open_manager(
  folder: epath.Path,
  keep: int,
  errors: Mapping[int, float | None],
  *,
  read_only: bool,
) -> ocp.CheckpointManager:
  """The manager of the checkpoints in a folder.

  Args:
    folder: created if missing, unless read only.
    keep: how many of the newest to keep; the best is kept besides.
    errors: the watched error by step, looked at when a save is complete.
    read_only: whether nothing will be saved.
  """
  policies = ocp.checkpoint_managers
  options = ocp.CheckpointManagerOptions(
    preservation_policy=policies.AnyPreservationPolicy(
      [policies.LatestN(keep), _Best(errors)]
    ),
    cleanup_tmp_directories=not read_only,
    read_only=read_only,
    create=not read_only,
  )
  with _quiet():  # orbax warns of a read-only manager's being one.
    return ocp.CheckpointManager(
      folder,
      options=options,
      item_handlers={
        "params": ocp.StandardCheckpointHandler(),
        "training": ocp.StandardCheckpointHandler(),
        "card": ocp.JsonCheckpointHandler(),
      },
    )


@dataclasses.dataclass(frozen=True)
class _Best(ocp.checkpoint_managers.PreservationPolicy):
  """Keeps the checkpoint of the lowest watched error."""

  errors: Mapping[int, float | None]

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any):
    rated = [
      (found.step, self.errors[found.step])
      for found in checkpoints
      if self.errors.get(found.step) is not None
    ]
    best = best_step(rated)
    return [found.step == best for found in checkpoints]


def best_step(errors: Sequence[tuple[int, float | None]]) -> int | None:
  """The step of the lowest error, of equal ones the newest."""
  rated = [(error, -step) for step, error in errors if error is not None]
  if rated:
    return -min(rated)[1]
  return max((step for step, _ in errors), default=None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Only absl's errors are shown inside."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)
