"""A file is the old or the new one, never a part."""

import os
import subprocess
import sys

import pytest

from vggjax.files import locked, written_whole


def test_new_and_replaced(tmp_path):
  path = tmp_path / "new" / "folder" / "a.txt"
  for text in ("first", "second"):
    with written_whole(path) as temporary:
      assert temporary.parent == path.parent
      temporary.write_text(text)
      assert not path.exists() or path.read_text() == "first"
    assert path.read_text() == text
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_older(tmp_path, error):
  path = tmp_path / "a.txt"
  path.write_text("older")

  def write():
    with written_whole(str(path)) as temporary:
      temporary.write_text("ne")
      raise error

  with pytest.raises(error):
    write()
  assert path.read_text() == "older"
  assert os.listdir(tmp_path) == ["a.txt"]


def test_nothing_written_replaces_nothing(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("older")
  with pytest.raises(FileNotFoundError), written_whole(path):
    pass
  assert path.read_text() == "older"


HOLDER = """
import sys, time
from vggjax import files
with files.locked(sys.argv[1]):
  print("locked", flush=True)
  time.sleep(1000)
"""


def test_a_lock_is_held_by_one_and_dies_with_its_process(tmp_path):
  path = tmp_path / "lock"
  command = [sys.executable, "-c", HOLDER, path]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
    assert holder.stdout.readline() == "locked\n"
    with (
      pytest.raises(BlockingIOError, match=f"process {holder.pid} on "),
      locked(path),
    ):
      pass
    holder.kill()
    holder.wait()
  for _ in range(2):
    with locked(path) as has_locks:
      assert has_locks
    with path.open() as file:
      assert file.read().startswith(f"process {os.getpid()} on ")
