"""Rows filled in any order, once; those on disk outlive a killed process."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggjax.evaluate.rows import (
  RaggedRows,
  Rows,
  StoredRaggedRows,
  StoredRows,
)

ABOUT = {"params": "abc", "test_scale": 73, "mean": [1.5, 2.0, 3.0]}
VALUES = np.random.default_rng(2).normal(size=(7, 4)).astype(np.float32)


def make_rows(kind, tmp_path, num_rows=7):
  if kind == "memory":
    return Rows(num_rows)
  return StoredRows(tmp_path / "new" / "rows", num_rows, ABOUT)


def put(rows, indices):
  rows.put(indices, VALUES[indices])


def stored(folder, about=ABOUT, num_rows=7):
  return StoredRows(folder, num_rows, about)


def filled(folder, indices):
  """Rows as a killed process leaves them."""
  rows = stored(folder)
  for part in indices:
    put(rows, part)


def npy(array):
  """The bytes of an array's file."""
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


def is_empty(rows):
  return not rows.done.any()


@given(st.permutations(range(7)), st.lists(st.integers(1, 6), max_size=3))
def test_any_order_and_any_batches(order, cuts):
  rows = Rows(7)
  for part in np.split(np.array(order), sorted(cuts)):
    if len(part):
      before = rows.done.copy()
      rows.put(part.tolist(), VALUES[part])
      assert set(np.flatnonzero(rows.done ^ before)) == set(part)
  np.testing.assert_array_equal(rows.values(), VALUES)
  assert rows.values().dtype == np.float32


@pytest.mark.parametrize("kind", ["memory", "disk"])
class TestBothKinds:
  def test_filled_once(self, kind, tmp_path):
    rows = make_rows(kind, tmp_path)
    for part in ([5, 0], [3], [6, 1, 2, 4]):
      put(rows, part)
    np.testing.assert_array_equal(rows.values(), VALUES)
    assert rows.done.all()

  @pytest.mark.parametrize("indices", [[4, 0], [0], [2, 2]])
  def test_twice(self, kind, tmp_path, indices):
    rows = make_rows(kind, tmp_path)
    put(rows, [0, 1])
    with pytest.raises(RuntimeError, match="came twice"):
      rows.put(indices, -VALUES[indices])
    assert rows.done.tolist() == [True] * 2 + [False] * 5
    put(rows, [2, 3, 4, 5, 6])
    np.testing.assert_array_equal(rows.values(), VALUES)

  @pytest.mark.parametrize("index", [7, -1])
  def test_out_of_range(self, kind, tmp_path, index):
    rows = make_rows(kind, tmp_path)
    with pytest.raises(RuntimeError, match=rf"{index} is not in \[0, 7\)"):
      rows.put([index], VALUES[:1])
    assert is_empty(rows)

  def test_missing(self, kind, tmp_path):
    rows = make_rows(kind, tmp_path)
    with pytest.raises(RuntimeError, match="7 of 7 images never came"):
      rows.values()
    put(rows, [6, 0, 1])
    with pytest.raises(RuntimeError, match="4 of 7 images never came"):
      rows.values()


def test_one_of_every_shape():
  """Whatever follows the row, and its type, are the values'."""
  for shape, kind in (((2,), np.int64), ((2, 3, 4), np.float64)):
    values = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    rows = Rows(2)
    rows.put([1, 0], values)
    np.testing.assert_array_equal(rows.values(), values[::-1])
    assert rows.values().dtype == kind


def test_reopened_rows_go_on(tmp_path):
  filled(tmp_path / "rows", [[2], [6, 0]])
  again = stored(tmp_path / "rows")
  assert np.flatnonzero(again.done).tolist() == [0, 2, 6]
  with pytest.raises(RuntimeError, match="came twice"):
    put(again, [5, 6])
  put(again, [5, 1])
  last = stored(tmp_path / "rows", dict(reversed(ABOUT.items())))
  assert np.flatnonzero(last.done).tolist() == [0, 1, 2, 5, 6]
  put(last, [3, 4])
  np.testing.assert_array_equal(last.values(), VALUES)
  complete = stored(tmp_path / "rows")
  np.testing.assert_array_equal(complete.values(), VALUES)
  assert complete.values().dtype == np.float32


def test_rows_opened_but_never_filled_go_on(tmp_path):
  stored(tmp_path)
  rows = stored(tmp_path)
  assert is_empty(rows)
  filled(tmp_path, [range(7)])
  np.testing.assert_array_equal(stored(tmp_path).values(), VALUES)


@pytest.mark.parametrize(
  ("about", "num_rows"),
  [
    ({**ABOUT, "params": "abd"}, 7),
    ({**ABOUT, "mean": [1.5, 2.0, 3.1]}, 7),
    ({**ABOUT, "more": 0}, 7),
    ({}, 7),
    (ABOUT, 6),
    (ABOUT, 8),
  ],
)
def test_rows_of_something_else_start_anew(tmp_path, about, num_rows):
  filled(tmp_path, [[0, 1, 2]])
  (tmp_path / "more").write_text("of the old ones")
  rows = stored(tmp_path, about, num_rows)
  assert is_empty(rows)
  assert rows.done.shape == (num_rows,)
  assert not (tmp_path / "more").exists()
  rows.put([1], -VALUES[:1])
  # And from now on these are the folder's.
  assert np.flatnonzero(stored(tmp_path, about, num_rows).done) == [1]
  assert is_empty(stored(tmp_path))


def test_a_row_whose_write_was_killed_is_not_done(tmp_path, monkeypatch):
  filled(tmp_path, [[4]])

  def killed(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(StoredRows, "_note_done", killed)
    with pytest.raises(KeyboardInterrupt):
      put(stored(tmp_path), [0, 1])
  rows = stored(tmp_path)
  assert np.flatnonzero(rows.done).tolist() == [4]
  put(rows, [0, 1, 2, 3, 5, 6])
  np.testing.assert_array_equal(rows.values(), VALUES)


@pytest.mark.parametrize("name", ["about.json", "done.npy", "rows.npy"])
def test_without_one_of_the_files_rows_start_anew(tmp_path, name):
  filled(tmp_path, [[0, 3]])
  (tmp_path / name).unlink()
  assert is_empty(stored(tmp_path))


@pytest.mark.parametrize("name", ["about.json", "done.npy", "rows.npy"])
def test_truncated_rows_start_anew(tmp_path, name):
  filled(tmp_path, [[0, 3]])
  whole = (tmp_path / name).read_bytes()
  step = 1 + len(whole) // 40
  for size in {*range(0, len(whole), step), len(whole) - 1}:
    filled(tmp_path / str(size), [[0, 3]])
    (tmp_path / str(size) / name).write_bytes(whole[:size])
    rows = stored(tmp_path / str(size))
    assert is_empty(rows), size
    put(rows, range(7))
    np.testing.assert_array_equal(rows.values(), VALUES)


@pytest.mark.parametrize("name", ["done.npy", "rows.npy"])
@pytest.mark.parametrize(
  "content",
  [
    b"no array",
    b"\x93NUMPY",
    b"\x93NUMPY\x01\x00\x06\x00{'de'\n",
    b"\x93NUMPY\x01\x00\x06\x00[1,2]\n",
    b"\x93NUMPY\x01\x00\x0e\x00{'a': 1, 2: 3}\n",
    npy(np.ones((3, 4), np.float32)),  # Rows of another number and type.
    npy(np.int32(1)),
  ],
)
def test_broken_rows_start_anew(tmp_path, name, content):
  filled(tmp_path, [[0, 3]])
  (tmp_path / name).write_bytes(content)
  rows = stored(tmp_path)
  assert is_empty(rows)
  put(rows, range(7))
  np.testing.assert_array_equal(rows.values(), VALUES)


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "\0"])
def test_a_broken_card_is_never_taken_for_rows(tmp_path, content):
  filled(tmp_path, [[0, 3]])
  (tmp_path / "about.json").write_text(content)
  assert is_empty(stored(tmp_path))
  assert json.loads((tmp_path / "about.json").read_text())["num_rows"] == 7


def test_remove(tmp_path):
  rows = stored(tmp_path / "rows")
  put(rows, list(range(7)))
  values = rows.values().copy()
  rows.remove()
  assert list(tmp_path.iterdir()) == []
  np.testing.assert_array_equal(values, VALUES)
  rows.remove()  # Twice is no error.
  assert is_empty(stored(tmp_path / "rows"))


RAGGED = [np.full((n, 2), n + 0.5, np.float32) for n in (3, 1, 4, 1, 5)]


def make_ragged(kind, tmp_path):
  if kind == "memory":
    return RaggedRows(5)
  return StoredRaggedRows(tmp_path / "rows", 5, (2,), ABOUT)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_ragged_rows_keep_their_lengths(kind, tmp_path):
  rows = make_ragged(kind, tmp_path)
  rows.put([3, 0], [RAGGED[3], RAGGED[0]])
  assert rows.done.tolist() == [True, False, False, True, False]
  with pytest.raises(RuntimeError, match="3 of 5 images never came"):
    rows.values()
  with pytest.raises(RuntimeError, match="came twice"):
    rows.put([0], [RAGGED[0]])
  rows.put([4, 1, 2], [RAGGED[4], RAGGED[1], RAGGED[2]])
  for found, wanted in zip(rows.values(), RAGGED, strict=True):
    np.testing.assert_array_equal(found, wanted)


def test_ragged_rows_of_one_length():
  rows = RaggedRows(3)
  rows.put([0, 2], [RAGGED[1], RAGGED[1]])
  indices, found = rows.filled()
  assert indices.tolist() == [0, 2]
  assert [value.shape for value in found] == [(1, 2)] * 2


@pytest.mark.parametrize("junk", [b"", b"x", b"12345678" * 3 + b"123"])
def test_stored_ragged_rows_outlive_a_killed_write(tmp_path, junk):
  rows = make_ragged("disk", tmp_path)
  rows.put([1, 4], [RAGGED[1], RAGGED[4]])
  with (tmp_path / "rows/values.bin").open("ab") as file:
    file.write(junk)  # Written, but not noted as done.
  again = make_ragged("disk", tmp_path)
  assert again.done.tolist() == [False, True, False, False, True]
  again.put([0, 2, 3], [RAGGED[i] for i in (0, 2, 3)])
  for found, wanted in zip(again.values(), RAGGED, strict=True):
    np.testing.assert_array_equal(found, wanted)
  again.remove()
  assert not (tmp_path / "rows").exists()


def test_stored_ragged_rows_of_something_else_begin_anew(tmp_path):
  make_ragged("disk", tmp_path).put([1], [RAGGED[1]])
  other = StoredRaggedRows(tmp_path / "rows", 5, (2,), {**ABOUT, "x": 1})
  assert is_empty(other)
  assert not (tmp_path / "rows/values.bin").exists()
