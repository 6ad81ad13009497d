"""Descriptors on disk: whole or not there, and never another's."""

import json
import os

import numpy as np
import pytest

from vggjax.evaluate.rows import StoredRows
from vggjax.features import store

ABOUT = {"layer": "fc7", "test_scale": 73, "mean": [1.5, 2.0, 3.0]}
VALUES = np.arange(15, dtype=np.float32).reshape(5, 3)
IDS = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "ü/3.jpg"]


def kept(folder, about=ABOUT):
  rows = StoredRows(folder / "fc7-73.partial", 5, about)
  rows.put([3, 1], VALUES[[3, 1]])
  rows = StoredRows(folder / "fc7-73.partial", 5, about)  # After a stop.
  assert rows.done.tolist() == [False, True, False, True, False]
  rows.put([0, 2, 4], VALUES[[0, 2, 4]])
  store.keep(rows, folder / "fc7-73", IDS)
  return folder / "fc7-73"


def test_round_trip_maps_the_file(tmp_path):
  path = kept(tmp_path)
  found = store.load(path, ABOUT)
  assert isinstance(found, np.memmap)
  np.testing.assert_array_equal(found, VALUES)
  assert json.loads((path / "kept.json").read_text())["ids"] == IDS
  assert os.listdir(tmp_path) == ["fc7-73"]


def test_replaces_what_was_there(tmp_path):
  kept(tmp_path, {**ABOUT, "layer": "fc6"})
  path = kept(tmp_path)
  assert store.load(path, {**ABOUT, "layer": "fc6"}) is None
  np.testing.assert_array_equal(store.load(path, ABOUT), VALUES)


def test_rows_that_miss_one_are_not_kept(tmp_path):
  rows = StoredRows(tmp_path / "p", 2, ABOUT)
  rows.put([1], VALUES[:1])
  with pytest.raises(RuntimeError, match="1 of 2 images never came"):
    store.keep(rows, tmp_path / "fc7-73", IDS[:2])
  assert store.load(tmp_path / "fc7-73", ABOUT) is None


def flip_a_byte(path):
  content = bytearray((path / "rows.npy").read_bytes())
  content[-3] ^= 1
  (path / "rows.npy").write_bytes(content)


def cut_short(path):
  os.truncate(path / "rows.npy", 100)


def lose_the_card(path):
  (path / "kept.json").unlink()


def spoil_the_card(path):
  (path / "kept.json").write_text("[1")


def card_of_another_kind(path):
  (path / "kept.json").write_text(json.dumps([1]))


@pytest.mark.parametrize(
  "damage",
  [flip_a_byte, cut_short, lose_the_card, spoil_the_card, card_of_another_kind],
)
def test_what_is_damaged_counts_as_missing(tmp_path, damage):
  path = kept(tmp_path)
  damage(path)
  assert store.load(path, ABOUT) is None


def test_a_killed_move_loses_nothing(tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      kept(tmp_path)
  rows = StoredRows(tmp_path / "fc7-73.partial", 5, ABOUT)
  assert rows.done.all()
  store.keep(rows, tmp_path / "fc7-73", IDS)
  np.testing.assert_array_equal(store.load(tmp_path / "fc7-73", ABOUT), VALUES)
