"""Damage to any file of a checkpoint is noticed, or harmless."""

import contextlib
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from vggjax import checkpoint, seal
from vggjax.seal import DamagedError

CARD = {"mean": [1.5, 2.25], "class_names": ["ä", "b"]}
ERROR = 12.5
# More than flipped bits: what a torn write or a lost block leaves.
DAMAGES = ("flip", "truncate", "zeros", "delete")


def trees(seed):
  random = np.random.default_rng(seed)
  params = {"fc8": {"kernel": random.normal(size=(64, 30)).astype(np.float32)}}
  nested = {"v": random.normal(size=4)}, np.uint32([1, 2])
  return params, {"step": np.int32(seed), "nested": nested}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """A run with checkpoints at steps 1 and 2; tests work on copies."""
  folder = tmp_path_factory.mktemp("saved")
  with checkpoint.Checkpoints(folder) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, *trees(step), CARD, ERROR / step)
  return folder


@pytest.fixture
def copied(saved, tmp_path):
  return Path(shutil.copytree(saved, tmp_path / "run"))


def files_of(folder, step=2):
  """The files of a checkpoint, relative to the run's folder."""
  root = folder / checkpoint.FOLDER / str(step)
  return [p.relative_to(folder) for p in root.rglob("*") if p.is_file()]


def restore_newest(folder):
  empty = jax.tree.map(np.zeros_like, trees(0))
  with checkpoint.Checkpoints(folder) as checkpoints:
    step, params, training, damaged = checkpoints.restore_newest(*empty)
    tiny.assert_identical((params, training), trees(step))
    assert checkpoints.card(step) == CARD
    assert step == (1 if damaged else 2)
    # The run goes on to the same step again.
    if damaged:
      checkpoints.save(2, *trees(2), CARD, ERROR)
  return damaged


def damage(path, how, position=0):
  content = bytearray(path.read_bytes())
  if how == "flip":
    content[position] ^= 1 << position % 8
  elif how == "truncate":
    content = content[: len(content) // 2]
  elif how == "zeros":
    content = bytes(len(content))
  path.write_bytes(content)
  if how == "delete":
    path.unlink()


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_to_any_file_is_noticed_or_harmless(saved, copied, how):
  """By training and by readers; what is not noticed changes nothing."""
  noticed, readers = set(), set()
  empty = jax.tree.map(np.zeros_like, trees(0))
  for path in files_of(saved):
    good = (copied / path).read_bytes()
    damage(copied / path, how, len(good) * 2 // 3)
    with checkpoint.Checkpoints(copied, read_only=True) as checkpoints:
      try:
        tiny.assert_identical(checkpoints.restore(2, *empty), trees(2))
      except DamagedError:
        noticed.add(path.parts[2])
    try:
      params, card, step = checkpoint.load_run(copied, "last")
      tiny.assert_identical(params, trees(2)[0])
      assert (card, step) == (CARD, 2)
    except DamagedError:
      readers.add(path.parts[2])
    (copied / path).write_bytes(good)
  assert noticed == {"params", "training", "card"}
  assert {"params", "card"} <= readers


@pytest.mark.parametrize("item", ["params", "training", "card"])
def test_training_goes_on_from_the_one_before(copied, item, capfd):
  for path in (copied / checkpoint.FOLDER / "2" / item).rglob("*"):
    if path.is_file():
      damage(path, "truncate")
  [error] = restore_newest(copied)
  assert f"{copied}/checkpoints/2 is damaged: " in str(error)
  assert len(str(error).splitlines()) == 1
  assert (copied / checkpoint.FOLDER / "2.damaged").is_dir()
  assert "Traceback" not in capfd.readouterr().err
  assert not restore_newest(copied)


def test_any_byte_of_a_card_counts(copied):
  folder = copied / checkpoint.FOLDER / "2"
  path = folder / checkpoint.CARD_FILE
  good = path.read_bytes()
  for position in range(len(good)):
    damage(path, "flip", position)
    with contextlib.suppress(DamagedError):
      content = seal.read(path, folder)
      assert (content["card"], content["watched_error"]) == (CARD, ERROR / 2)
    path.write_bytes(good)


def test_orbax_alone_does_not_notice_other_values(copied):
  """So the digests are needed: of values there is no checksum."""
  paths = [p for p in files_of(copied) if p.parts[2] == "params"]
  path = copied / max(paths, key=lambda p: (copied / p).stat().st_size)
  good, reasons = path.read_bytes(), []
  for position in range(500, len(good) - 500, len(good) // 8):
    damage(path, "flip", position)
    try:
      params, _, _ = checkpoint.load_run(copied)
      tiny.assert_identical(params, trees(2)[0])
    except DamagedError as error:
      reasons.append(str(error))
    path.write_bytes(good)
  assert any("params are not those saved" in reason for reason in reasons)


def test_a_damaged_newer_card_keeps_the_best_from_being_named(copied):
  path = copied / checkpoint.FOLDER / "1" / checkpoint.CARD_FILE
  good = path.read_text()
  path.write_text(good.replace("12.5", "2.5"))
  with pytest.raises(DamagedError, match="checkpoints/1 is damaged"):
    checkpoint.load_run(copied)
  assert checkpoint.load_run(copied, "last")[2] == 2
  assert checkpoint.latest_card(copied) == (CARD, 2)
  damage(copied / checkpoint.FOLDER / "2" / checkpoint.CARD_FILE, "zeros")
  path.write_text(good)
  assert checkpoint.latest_card(copied) == (CARD, 1)


def test_one_half_deleted_is_not_the_best(copied):
  """Its run was killed while it made room; 2 was the better one, too."""
  shutil.rmtree(copied / checkpoint.FOLDER / "1" / "card")
  assert checkpoint.load_run(copied)[2] == 2
  assert not restore_newest(copied)


def test_without_an_intact_checkpoint_nothing_is_moved(copied):
  for step in (1, 2):
    for path in files_of(copied, step):
      damage(copied / path, "zeros")
  with pytest.raises(DamagedError, match="checkpoints/2 is damaged"):
    checkpoint.latest_card(copied)
  with pytest.raises(seal.InputError, match="can be read: checkpoint"):
    restore_newest(copied)
  assert (copied / checkpoint.FOLDER / "2").is_dir()


def test_a_card_without_digests_is_read_with_the_metrics_beside_it(tmp_path):
  """As runs were saved before there were digests."""
  path = tmp_path / checkpoint.CARD_FILE
  path.parent.mkdir()
  path.write_text(json.dumps(CARD))
  content = seal.read(path, tmp_path)
  assert content == {"card": CARD, "watched_error": None}
  seal.check("params", {"any": np.ones(1)}, content, tmp_path)
  (tmp_path / "metrics").mkdir()
  (tmp_path / "metrics" / "metrics").write_text('{"watched_error": 7.5}')
  assert seal.read(path, tmp_path)["watched_error"] == 7.5
  (tmp_path / "metrics" / "metrics").write_text('{"watched_erros": 7.5}')
  with pytest.raises(DamagedError, match="its metrics cannot be read"):
    seal.read(path, tmp_path)


def test_the_digest_sees_values_shapes_and_types_not_names():
  tree = {"a": np.arange(6, dtype=np.float32), "b": np.ones(1, np.float32)}
  same = [tree["b"], tree["a"].copy()]
  assert seal.digest(tree) == seal.digest(same)
  others = [
    {**tree, "a": tree["a"] + np.float32(1e-6)},
    {**tree, "a": tree["a"].reshape(2, 3)},
    {**tree, "b": np.ones(1, np.float64)},
    {**tree, "b": np.ones((), np.float32)},
    {"a": tree["a"]},
    {**tree, "b": np.asarray(jnp.ones(1, jnp.bfloat16))},
  ]
  assert len({seal.digest(tree) for tree in [tree, *others]}) == 7
