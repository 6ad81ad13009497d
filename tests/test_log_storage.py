"""Metrics on a disk that is full, and TensorBoard's file."""

import contextlib
import gc
import resource
import sys

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from vggjax.errors import StorageError
from vggjax.train import log
from vggjax.train.board import Board


def open_log(workdir):
  return log.Log(
    workdir, first_step=0, num_steps=9, every=1, batch_size=1, progress=False
  )


def read_events(folder):
  """The events of the only file, with its checksums compared."""
  [path] = folder.iterdir()
  rest = path.read_bytes()
  while rest:
    header, size = rest[:8], int.from_bytes(rest[:8], "little")
    sums = rest[8:12], rest[12 + size : 16 + size]
    data, rest = rest[12 : 12 + size], rest[16 + size :]
    for part, found in zip((header, data), sums, strict=True):
      assert masked_crc32c(part) == int.from_bytes(found, "little")
    yield Event.FromString(data)


def test_a_board_asks_to_forget_later_steps_and_holds_what_was_added(tmp_path):
  board = Board(tmp_path / "new" / "board", 5)
  board.add(5, {"train/loss": 1.5, "train/rate": 0.25})
  events = list(read_events(tmp_path / "new" / "board"))
  assert events[0].file_version == "brain.Event:2"
  [start] = [e for e in events if e.HasField("session_log")]
  assert (start.step, start.session_log.status) == (5, 1)
  values = {
    value.tag: value.simple_value
    for event in events
    for value in event.summary.value
  }
  assert values == {"train/loss": 1.5, "train/rate": 0.25}
  assert {e.step for e in events if e.HasField("summary")} == {5}
  board.close()


@pytest.fixture
def full_disk():
  """Files cannot grow beyond some bytes, as on a full disk."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
  yield
  resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
def test_metrics_that_cannot_be_written_are_named_in_one_line(tmp_path):

  def write():
    with open_log(tmp_path) as writer:
      for step in range(1, 100):
        writer.validation(step, {"top1_error": 50.0, "loss": 1.0})

  with pytest.raises(StorageError) as error:
    write()
  assert str(error.value) == (
    f"cannot write the metrics in {tmp_path}: File too large; the same command "
    "goes on from the last checkpoint"
  )
  # What stands in the file is read, up to the line that is cut.
  steps = [record["step"] for record in log.read_metrics(tmp_path)]
  assert steps == list(range(1, len(steps) + 1))
  assert steps


@pytest.mark.usefixtures("full_disk")
def test_a_board_that_cannot_be_written_ends_without_noise(
  tmp_path, monkeypatch
):
  """Its file is closed, so that nothing is tried again when it goes."""
  heard = []
  monkeypatch.setattr(sys, "unraisablehook", heard.append)
  board = Board(tmp_path, 1)
  scalars = {f"train/{number}": 0.0 for number in range(50)}
  with pytest.raises(OSError, match="File too large"):
    board.add(1, scalars)
  with contextlib.suppress(OSError):
    board.close()
  del board
  gc.collect()
  assert not heard
