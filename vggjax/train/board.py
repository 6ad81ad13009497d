"""Scalars in TensorBoard's event files."""

import time
from collections.abc import Mapping
from pathlib import Path


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
    # Here, so that training's first step does not wait: it imports torch.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.summary import scalar

    self._event, self._scalar = Event, scalar
    folder.mkdir(parents=True, exist_ok=True)
    self._writer = EventsWriter(str(folder / "events"))
    # TensorBoard asks for both to forget the later steps.
    version = Event(step=first_step, file_version="brain.Event:2")
    start = SessionLog(status=SessionLog.START)
    for event in (version, Event(step=first_step, session_log=start)):
      self._writer.write_event(event)

  def add(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes the scalars of a step, by name."""
    for name, value in scalars.items():
      summary = self._scalar(name, value)
      self._writer.write_event(
        self._event(wall_time=time.time(), step=step, summary=summary)
      )

  def flush(self) -> None:
    """What was added is in the file."""
    self._writer.flush()

  def close(self) -> None:
    """Closes the file."""
    self._writer.close()
