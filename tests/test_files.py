"""A file is the old or the new one, never a part."""

import os

import pytest

from vggjax.files import written_whole


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
