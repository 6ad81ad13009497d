"""Rows that several processes fill, each its share, under changing counts."""

import numpy as np
import pytest

from vggjax.evaluate.shares import ShareRows, share_length

VALUES = np.arange(22, dtype=np.float32).reshape(11, 2)
ABOUT = {"params": "abc", "mean": [1.0, 2.0]}


def open_rows(folder, index, count, about=ABOUT, num_rows=11):
  return ShareRows(
    folder / "dense-32.partial",
    num_rows,
    about,
    process_index=index,
    process_count=count,
  )


def fill(rows, index, count, wanted):
  """Computes the wanted images that are this process's and not done."""
  computed = []
  for image in wanted:
    if image % count == index and not rows.done[image // count]:
      rows.put([image // count], [VALUES[image]])
      computed.append(image)
  return computed


def test_an_evaluation_goes_on_with_any_number_of_processes(tmp_path):
  computed = []
  # Who, of how many, gets how far before all are killed.
  for index, count, wanted in [
    (0, 1, range(3)),
    (0, 3, range(6)),
    (2, 3, range(9)),
    (1, 2, range(11)),
    (0, 1, [4, 10]),
  ]:
    computed += fill(open_rows(tmp_path, index, count), index, count, wanted)
  for index in range(3):
    rows = open_rows(tmp_path, index, 3)
    computed += fill(rows, index, 3, range(11))
  assert sorted(computed) == list(range(11))
  chief = open_rows(tmp_path, 0, 3)
  np.testing.assert_array_equal(chief.all_values(), VALUES)
  chief.remove_all()
  assert list(tmp_path.iterdir()) == []


def test_rows_of_something_else_are_not_taken_over(tmp_path):
  fill(open_rows(tmp_path, 0, 1), 0, 1, range(11))
  other = {**ABOUT, "params": "def"}
  assert not open_rows(tmp_path, 0, 2, other).done.any()
  assert open_rows(tmp_path, 0, 1).done.all()
  assert open_rows(tmp_path, 1, 2).done.all()


def test_a_missing_share_is_noticed(tmp_path):
  rows = open_rows(tmp_path, 0, 2)
  fill(rows, 0, 2, range(11))
  with pytest.raises(RuntimeError, match="5 of 5 images never came"):
    rows.all_values()


def test_more_processes_than_images(tmp_path):
  for index in range(3):
    fill(open_rows(tmp_path, index, 3, num_rows=2), index, 3, range(2))
  found = open_rows(tmp_path, 0, 3, num_rows=2).all_values()
  np.testing.assert_array_equal(found, VALUES[:2])


def test_shares_add_up():
  for num_rows in range(8):
    lengths = [share_length(num_rows, index, 3) for index in range(3)]
    assert sum(lengths) == num_rows
    assert max(lengths) - min(lengths) <= 1
