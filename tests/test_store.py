"""Posteriors on disk: the same again, or computed again."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from vggjax.evaluate import store

ABOUT = {"run": "D-256", "scales": [256, 288], "step": 7, "mirror": True}


def make_item(seed=0, about=ABOUT):
  random = np.random.default_rng(seed)
  return store.Posteriors(
    posteriors=random.dirichlet(np.ones(4), 3).astype(np.float32),
    labels=np.array([2, -1, 0], np.int32),
    ids=np.array(["a/b.jpg", "ä ö", "x"]),
    about=about,
  )


def assert_same(found, item):
  assert found is not None
  for name in ("posteriors", "labels", "ids"):
    np.testing.assert_array_equal(getattr(found, name), getattr(item, name))
  assert found.about == json.loads(json.dumps(item.about))
  assert found.posteriors.dtype == np.float32
  assert found.labels.dtype == np.int32


def test_save_and_load(tmp_path):
  path = tmp_path / "new" / "folders" / "dense-256.npz"
  store.save(path, make_item())
  assert_same(store.load(path, ABOUT), make_item())
  assert_same(store.load(str(path), dict(reversed(ABOUT.items()))), make_item())
  assert os.listdir(path.parent) == [path.name]


def test_tuples_are_lists(tmp_path):
  item = make_item(about={"scales": (256, 288)})
  store.save(tmp_path / "x.npz", item)
  assert store.load(tmp_path / "x.npz", {"scales": (256, 288)}) is not None
  assert store.load(tmp_path / "x.npz", {"scales": [256, 288]}) is not None
  assert store.load(tmp_path / "x.npz", {"scales": (256,)}) is None


def test_saves_smaller_types(tmp_path):
  item = make_item()
  wide = store.Posteriors(
    item.posteriors.astype(np.float64),
    item.labels.astype(np.int64),
    item.ids.tolist(),
    ABOUT,
  )
  store.save(tmp_path / "x.npz", wide)
  assert_same(store.load(tmp_path / "x.npz", ABOUT), item)


@pytest.mark.parametrize(
  "change",
  [{"step": 8}, {"run": "E-256"}, {"scales": [256]}, {"mirror": False}],
)
def test_something_else(tmp_path, change):
  store.save(tmp_path / "x.npz", make_item())
  assert store.load(tmp_path / "x.npz", {**ABOUT, **change}) is None
  assert store.load(tmp_path / "x.npz", {**ABOUT, "more": 1}) is None
  assert store.load(tmp_path / "x.npz", {}) is None
  assert store.load(tmp_path / "x.npz", ABOUT) is not None


def test_missing(tmp_path):
  assert store.load(tmp_path / "x.npz", ABOUT) is None
  assert store.load(tmp_path / "no" / "x.npz", ABOUT) is None


@pytest.mark.parametrize("size", [0, 1, 10, 100, 400, -1])
def test_truncated(tmp_path, size):
  path = tmp_path / "x.npz"
  store.save(path, make_item())
  path.write_bytes(path.read_bytes()[:size])
  assert store.load(path, ABOUT) is None
  store.save(path, make_item())  # Written over.
  assert_same(store.load(path, ABOUT), make_item())


def test_flipped_bytes_are_never_taken_for_the_posteriors(tmp_path):
  path = tmp_path / "x.npz"
  store.save(path, make_item())
  whole = path.read_bytes()
  for place in range(0, len(whole), 7):
    broken = bytearray(whole)
    broken[place] ^= 0xFF
    path.write_bytes(broken)
    found = store.load(path, ABOUT)
    if found is not None:
      assert_same(found, make_item())


@pytest.mark.parametrize(
  "content",
  [b"not a zip file", b"\x93NUMPY", b"PK\x03\x04 and no more"],
)
def test_corrupt(tmp_path, content):
  path = tmp_path / "x.npz"
  path.write_bytes(content)
  assert store.load(path, ABOUT) is None


def test_other_archives(tmp_path):
  path = tmp_path / "x.npz"
  np.savez(path, posteriors=np.ones((2, 2)))
  assert store.load(path, ABOUT) is None
  np.savez(path, about="{no json")
  assert store.load(path, ABOUT) is None
  np.savez(path, about=json.dumps(ABOUT))  # Without the arrays.
  assert store.load(path, ABOUT) is None
  pickled = np.array([{"a": 1}], object)
  np.savez(path, about=json.dumps(ABOUT), posteriors=pickled)
  assert store.load(path, ABOUT) is None


@pytest.mark.parametrize("moment", ["savez", "replace"])
def test_a_killed_write_leaves_the_older(tmp_path, monkeypatch, moment):
  path = tmp_path / "x.npz"
  store.save(path, make_item(0))

  def partly(file, **_):
    file.write(b"PK half of it")
    raise KeyboardInterrupt

  def killed(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    if moment == "savez":
      patch.setattr(np, "savez", partly)
    else:
      patch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
      store.save(path, make_item(1))
  assert_same(store.load(path, ABOUT), make_item(0))
  store.save(path, make_item(1))
  assert_same(store.load(path, ABOUT), make_item(1))


def test_path_of():
  wanted = Path("runs/D-256/posteriors/test/dense-256.npz")
  assert store.path_of("runs/D-256", "test", "dense", 256) == wanted
  # Slices of a split are names too, and no folders.
  path = store.path_of("w", "train[90%:]/../x", "multicrop", 288)
  assert path.parent.parent == Path("w/posteriors")
  assert path.name == "multicrop-288.npz"
  assert ".." not in path.parts
  names = {
    store.path_of("w", split, protocol, scale)
    for split in ("train", "test")
    for protocol in ("dense", "center")
    for scale in (256, 384)
  }
  assert len(names) == 8
