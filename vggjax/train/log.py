"""What a run writes while it trains: progress bar, JSON lines, TensorBoard."""

import collections
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm

from vggjax.addresses import location
from vggjax.errors import NonFiniteError, StorageError
from vggjax.files import written_whole
from vggjax.train.board import Board
from vggjax.train.spool import Spool

METRICS_FILE = "metrics.jsonl"
# What training watches: the error of classification, or of localization.
WATCHED = ("top1_error", "localization_error")
# Steps whose metrics may still be under way on the devices.
MAX_PENDING = 4


class Log:
  """Collects the metrics of steps without holding up the devices.

  Args:
    workdir: the run's folder.
    first_step: the steps already done; later lines of an earlier, killed start
      are removed.
    num_steps: of the whole run.
    every: steps between two lines of metrics.
    batch_size: images a step.
    progress: whether to show the bar.
    writes: whether anything is written; else only the numbers are watched.
  """

  def __init__(
    self,
    workdir: str | Path,
    *,
    first_step: int,
    num_steps: int,
    every: int,
    batch_size: int,
    progress: bool = True,
    writes: bool = True,
  ):
    self._every = every
    self._batch_size = batch_size
    self._pending = collections.deque()
    self._window = []
    self._bar = tqdm.tqdm(
      total=num_steps,
      initial=first_step,
      unit="step",
      disable=not progress,
      dynamic_ncols=True,
      mininterval=1.0,
    )
    self._workdir, self._first_step = location(workdir), first_step
    self._files = contextlib.ExitStack()
    self._file = self._board = self._spool = None
    if writes:
      spool = contextlib.closing(Spool(self._workdir))
      self._spool = self._files.enter_context(spool)
      self._spool.fetch(METRICS_FILE)
      path = self._spool.folder / METRICS_FILE
      _drop_later_lines(path, first_step)
      self._file = self._files.enter_context(path.open("a"))
    self._since = time.perf_counter()
    self._elapsed = 0.0
    self._validation_error = None

  def train(self, step: int, metrics: dict[str, Any]) -> None:
    """Notes a step's metrics, which may still be under way on the devices.

    Args:
      step: the steps done.
      metrics: scalars on the devices.

    Raises:
      NonFiniteError: if those of this or an earlier step are not finite.
      StorageError: if they cannot be written.
    """
    self._pending.append((step, metrics))
    if len(self._pending) > MAX_PENDING:
      self._settle()

  def flush(self) -> None:
    """Waits for the metrics of all steps noted; raises as `train` does."""
    while self._pending:
      self._settle()

  def validation(self, step: int, metrics: dict[str, float]) -> None:
    """Writes the metrics of an epoch's validation.

    Raises:
      StorageError: if they cannot be written.
    """
    self._validation_error = metrics[watched(metrics)]
    self._write("validation", step, metrics)
    self._copy()

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Settles all steps noted; the time spent inside counts for no step.

    What is written is where it belongs then, before a checkpoint is saved.

    Raises:
      NonFiniteError: as `train` does.
      StorageError: likewise.
    """
    self.flush()
    self._elapsed += time.perf_counter() - self._since
    self._copy()
    yield
    self._since = time.perf_counter()

  def close(self) -> None:
    """Closes the files and the bar; raises StorageError as `train` does."""
    self._bar.close()
    with self._writing():
      self._files.close()

  def __enter__(self) -> "Log":
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def _settle(self) -> None:
    step, metrics = self._pending.popleft()
    values = {k: float(v) for k, v in jax.device_get(metrics).items()}
    for name in ("loss", "gradient_norm"):
      if not np.isfinite(values[name]):
        raise NonFiniteError(
          f"the {name.replace('_', ' ')} is {values[name]} at step {step}, "
          f"at learning rate {values['learning_rate']:g}; the last good "
          "checkpoint is kept: lower learning_rate, or choose "
          "initializer=glorot for narrow networks, and start in a new workdir"
        )
    self._window.append(values)
    self._bar.update(1)
    if step % self._every == 0:
      self._write_window(step)

  def _write_window(self, step: int) -> None:
    now = time.perf_counter()
    elapsed = self._elapsed + now - self._since
    means = {
      name: float(np.mean([values[name] for values in self._window]))
      for name in self._window[0]
    }
    # Not a mean of many: it may have changed.
    means["learning_rate"] = self._window[-1]["learning_rate"]
    means["images_per_second"] = len(self._window) * self._batch_size / elapsed
    self._write("train", step, means)
    shown = {
      "loss": f"{means['loss']:.3f}",
      "error": f"{means[watched(means)]:.1f}%",
      "rate": f"{means['learning_rate']:.0e}",
      "img/s": f"{means['images_per_second']:.0f}",
    }
    if self._validation_error is not None:
      shown["val"] = f"{self._validation_error:.1f}%"
    self._bar.set_postfix(shown, refresh=False)
    self._window, self._elapsed, self._since = [], 0.0, now

  def _write(self, kind: str, step: int, metrics: dict[str, float]) -> None:
    if self._file is None:
      return
    line = json.dumps({"kind": kind, "step": step, **metrics}) + "\n"
    scalars = {f"{kind}/{name}": value for name, value in metrics.items()}
    with self._writing():
      self._file.write(line)
      self._file.flush()
      if self._board is None:
        board = Board(self._spool.folder / "tensorboard", self._first_step + 1)
        self._board = self._files.enter_context(contextlib.closing(board))
      self._board.add(step, scalars)
      self._spool.copy(now=False)

  def _copy(self) -> None:
    if self._spool is not None:
      with self._writing():
        self._spool.copy()

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    """What the system refuses inside is a StorageError."""
    try:
      yield
    except OSError as error:
      raise StorageError(
        f"cannot write the metrics in {self._workdir}: "
        f"{error.strerror or error}; the same command goes on from the last "
        "checkpoint"
      ) from error


def watched(metrics: dict[str, Any]) -> str:
  """The name of the error that training watches, one of WATCHED."""
  return next(name for name in WATCHED if name in metrics)


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
  """The lines of a run's metrics file; what is not one is left out."""
  path = location(workdir) / METRICS_FILE
  records = []
  if path.exists():
    for line in (
      path.read_bytes().decode(errors="replace").splitlines(keepends=True)
    ):
      # An unfinished last line, or a damaged one.
      with contextlib.suppress(ValueError):
        records += [json.loads(line)] if line.endswith("\n") else []
  return records


def _drop_later_lines(path: Path, step: int) -> None:
  """Removes lines after `step`, which a killed start wrote."""
  records = read_metrics(path.parent)
  kept = [r for r in records if r["step"] <= step]
  if not path.exists():
    return
  with written_whole(path) as temporary:
    lines = (json.dumps(record) + "\n" for record in kept)
    temporary.write_text("".join(lines))
