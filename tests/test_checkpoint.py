"""Checkpoints of any tree, and the hash of parameters."""

import resource

import jax
import numpy as np
import pytest
import tiny

from vggjax import checkpoint
from vggjax.errors import StorageError


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
  rng = np.random.default_rng(0)
  params = {"fc8": {"kernel": rng.normal(size=(2, 3)).astype(np.float32)}}
  training = {
    "step": np.int32(7),
    "nested": ({"v": rng.normal(size=4)}, np.uint32([1, 2])),
  }
  with checkpoint.Checkpoints(tmp_path) as saved:
    assert saved.steps() == []
    assert saved.best_step() is None
    saved.save(7, params, training, {"class_names": ["ä", "b"]}, 12.5)
    saved.wait()
    empty = jax.tree.map(np.zeros_like, (params, training))
    tiny.assert_identical(saved.restore(7, *empty), (params, training))
    found, card = saved.restore_params(7)
  tiny.assert_identical(found, params)
  assert isinstance(found["fc8"]["kernel"], np.ndarray)
  assert card == {"class_names": ["ä", "b"]}


def test_the_best_is_kept_beside_the_newest(tmp_path):
  errors = {1: 30.0, 2: 10.0, 3: None, 4: 20.0, 5: 25.0, 6: None}
  params = {"fc8": {"bias": np.zeros(2, np.float32)}}
  with checkpoint.Checkpoints(tmp_path, keep=2) as saved:
    for step, error in errors.items():
      saved.save(step, params, {"step": np.int32(step)}, {}, error)
    saved.wait()
    assert saved.steps() == [2, 5, 6]
    assert saved.best_step() == 2


def test_params_hash_sees_values_names_shapes_and_types():
  base = {"a": np.arange(6, dtype=np.float32), "b": np.ones(1, np.float32)}
  others = [
    {**base, "a": base["a"] + np.float32(1e-6)},
    {**base, "a": base["a"].reshape(2, 3)},
    {"a": base["a"], "c": base["b"]},
    {**base, "b": np.ones(1, np.float64)},
  ]
  hashes = {checkpoint.params_hash(tree) for tree in [base, *others]}
  assert len(hashes) == 5
  copy = {name: base[name].copy() for name in ("b", "a")}
  assert checkpoint.params_hash(copy) == checkpoint.params_hash(base)


def test_a_full_disk_keeps_the_older_checkpoint(tmp_path):
  """Here: files may not grow; soak/full_disk.py fills a real one."""
  rng = np.random.default_rng(0)
  params = {"fc8": {"kernel": rng.normal(size=(200, 100))}}
  training = {"step": np.int32(1)}
  saved = checkpoint.Checkpoints(tmp_path)
  saved.save(1, params, training, {})
  saved.wait()

  def save(step, finish):
    saved.save(step, params, training, {})
    while True:  # The loop asks after each step.
      finish()

  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
  try:
    for step, finish in ((2, saved.wait), (3, saved.check)):
      with pytest.raises(StorageError, match="of step 1 is kept") as error:
        save(step, finish)
      assert len(str(error.value).splitlines()) == 1
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  saved.save(4, params, training, {})
  saved.close()
  with checkpoint.Checkpoints(tmp_path) as saved:
    assert saved.steps() == [1, 4]
    empty = jax.tree.map(np.zeros_like, (params, training))
    tiny.assert_identical(saved.restore(1, *empty), (params, training))
