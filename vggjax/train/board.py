"""Scalars in TensorBoard's event files."""

import contextlib
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
  """tensorboardX imports torch where it is installed: 2 s and 200 MB."""
  hides = "torch" not in sys.modules
  if hides:
    sys.modules["torch"] = None
  try:
    yield
  finally:
    if hides:
      del sys.modules["torch"]


class Board:
  """An event file, written by the caller's own thread.

  tensorboardX's SummaryWriter has a thread; what that cannot write it reports
  to nobody but standard error.

  Args:
    folder: of the event files; made if missing.
    first_step: what an earlier start wrote from this step on is not shown.

  Raises:
    OSError: here and by all methods, if the file cannot be written.
  """

  def __init__(self, folder: Path, first_step: int):
    # Here, so that training's first step does not wait.
    with _without_torch():
      from tensorboardX.proto.event_pb2 import Event, SessionLog
      from tensorboardX.record_writer import RecordWriter
      from tensorboardX.summary import scalar

    self._event, self._scalar = Event, scalar
    folder.mkdir(parents=True, exist_ok=True)
    name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
    self._file = RecordWriter(str(folder / name))
    # TensorBoard asks for both to forget the later steps.
    self._write(step=first_step, file_version="brain.Event:2")
    start = SessionLog(status=SessionLog.START)
    self._write(step=first_step, session_log=start)

  def _write(self, **fields) -> None:
    event = self._event(wall_time=time.time(), **fields)
    self._file.write(event.SerializeToString())

  def add(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes the scalars of a step, by name; they are then in the file."""
    for name, value in scalars.items():
      self._write(step=step, summary=self._scalar(name, value))
    self._file.flush()

  def close(self) -> None:
    """Closes the file."""
    self._file.close()
