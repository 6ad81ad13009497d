"""A run's posteriors: computed once, and anew where anything changed."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from saved_run import NUM_TESTED, arguments

from vggjax import checkpoint
from vggjax.config import parse_arguments
from vggjax.evaluate import store
from vggjax.evaluate.rows import StoredRows
from vggjax.tasks import networks, run
from vggjax.tasks import posteriors as tasks


@pytest.fixture
def evaluation(photos, saved, tmp_path):
  return Evaluation(photos, shutil.copytree(saved, tmp_path / "A-256"))


@dataclasses.dataclass
class Evaluation:
  """One config of a run, and what is asked of it."""

  photos: Path
  workdir: Path

  def opened(self, protocol, scales, overrides):
    command = arguments(self.photos, self.workdir, *overrides)
    config, workdir = parse_arguments(command)
    network = networks.load_network(config, Path(workdir))
    source = run.open_split(config, "test")
    return config, network, source, protocol, scales

  def get(self, protocol="center", *overrides, scales=(32, 36)):
    items = tasks.get_posteriors(*self.opened(protocol, scales, overrides))
    return np.array([item.posteriors for item in items])

  def is_found(self, protocol="center", *overrides, scales=(32, 36)):
    return is_stored(*self.opened(protocol, scales, overrides))


def is_stored(*opened):
  return tasks.stored_posteriors(*opened) is not None


@pytest.fixture
def computed(monkeypatch):
  """What is computed, which costs nothing here: (part, Qs, Qs begun)."""
  calls = []

  def compute(config, network, source, part, rows):
    begun = [q for q, target in rows.items() if target.done.any()]
    calls.append((part, tuple(rows), tuple(begun)))
    for q, target in rows.items():
      todo = np.flatnonzero(~target.done).tolist()
      # Numbers by which a stale array is known.
      network_sum = float(network.params["conv1_1"]["kernel"].sum())
      number = [q, network_sum, len(calls)]
      target.put(todo, np.tile(np.float32(number), (len(todo), 1)))

  monkeypatch.setattr(tasks, "compute", compute)
  return calls


def test_stored_once_and_not_computed_again(evaluation, computed):
  assert not evaluation.is_found("both")
  first = evaluation.get("both")
  assert computed == [("dense", (32, 36), ()), ("multicrop", (32, 36), ())]
  # Both parts agree on Q and the network, and are calls 1 and 2.
  assert first[:, 0, 0].tolist() == [32, 36]
  assert (first[:, :, 2] == 1.5).all()
  for protocol in ("both", "dense", "multicrop"):
    assert evaluation.is_found(protocol)
    assert evaluation.is_found(protocol, scales=(36,))
  np.testing.assert_array_equal(evaluation.get("both"), first)
  assert (evaluation.get("multicrop")[:, :, 2] == 2).all()
  assert not evaluation.is_found("center")
  assert not evaluation.is_found("dense", scales=(32, 40))
  assert len(computed) == 2
  # Only what is missing is computed, in the order asked for.
  found = evaluation.get("both", scales=(40, 32))
  assert found[:, 0, 0].tolist() == [40, 32]
  assert computed[2:] == [("dense", (40,), ()), ("multicrop", (40,), ())]


def test_what_is_stored_can_be_read_without_computing(evaluation, computed):
  opened = evaluation.opened("both", (36, 32), ())
  assert tasks.stored_posteriors(*opened) is None
  evaluation.get("dense")
  assert tasks.stored_posteriors(*opened) is None  # One part of two.
  wanted = tasks.get_posteriors(*opened)
  del computed[:]
  found = tasks.stored_posteriors(*opened)
  for ours, theirs in zip(found, wanted, strict=True):
    np.testing.assert_array_equal(ours.posteriors, theirs.posteriors)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
  assert [item.posteriors[0, 0] for item in found] == [36, 32]
  assert computed == []


def test_what_both_is_made_of_is_told(evaluation, computed):
  items = tasks.get_posteriors(*evaluation.opened("both", (32,), ()))
  parts = [about["protocol"] for about in items[0].about["fusion_of"]]
  assert parts == ["dense", "multicrop"]


ALL_PARTS = ("dense", "multicrop", "center")


@pytest.mark.parametrize(
  ("override", "parts"),
  [
    ("test_mirror=False", ("dense", "multicrop")),
    ("spatial=posteriors", ("dense",)),
    ("test_precision=default", ALL_PARTS),
    ("dtype=bfloat16", ALL_PARTS),
    ("checkpoint=2", ALL_PARTS),
    ("test_batch_size=16", ()),
    ("num_devices=1", ()),
    ("progress=True", ()),
  ],
)
def test_whatever_shapes_a_result_computes_it_anew(
  evaluation, computed, override, parts
):
  for part in ALL_PARTS:
    evaluation.get(part, scales=(32,))
    del computed[:]
    is_same = part not in parts
    assert evaluation.is_found(part, override, scales=(32,)) == is_same
    evaluation.get(part, override, scales=(32,))
    assert len(computed) == (not is_same)
    assert evaluation.is_found(part, override, scales=(32,))


def test_a_retrained_run_never_shows_older_numbers(evaluation, computed):
  def network_sum(which):
    params, _, _ = checkpoint.load_run(evaluation.workdir, which)
    return params["conv1_1"]["kernel"].sum()

  assert abs(network_sum("2") - network_sum("3")) > 0.01
  for which in ("best", "2", "3", "last", "2"):
    found = evaluation.get("center", f"checkpoint={which}")
    np.testing.assert_allclose(found[:, :, 1], network_sum(which), rtol=1e-6)
  # 3 is the last and the best; only one network's are kept.
  assert len(computed) == 4


def test_another_mean_or_split_or_data_set(evaluation, computed, photos):
  evaluation.get()
  opened = evaluation.opened("center", (32, 36), ())
  config, network, source, *rest = opened
  assert is_stored(*opened)
  card = {**network.card, "mean": [1.0, 2.0, 3.0]}
  other = dataclasses.replace(network, card=card)
  assert not is_stored(config, other, source, *rest)
  validation = run.open_split(config, "validation")
  assert not is_stored(config, network, validation, *rest)
  config.split = "validation"
  assert not is_stored(config, network, source, *rest)
  # Two names of one file.
  config.split = "test(1)"
  tasks.get_posteriors(*opened)
  assert is_stored(*opened)
  config.split = "test[1]"
  assert not is_stored(*opened)
  # An image changed: the fingerprint is another.
  copy = shutil.copytree(photos, evaluation.workdir.parent / "photos")
  same = dataclasses.replace(evaluation, photos=copy)
  assert same.is_found()
  changed = next((copy / "test").rglob("*.png"))
  changed.write_bytes(changed.read_bytes() + b"\0")
  assert not same.is_found()


def test_rows_of_another_network_are_not_gone_on_with(evaluation, computed):
  config, network, source, *_ = evaluation.opened("center", (32,), ())
  about = tasks.identity(config, network, source, "center", 32)
  folder = store.path_of(evaluation.workdir, "test", "center", 32)
  rows = StoredRows(folder.with_suffix(".partial"), NUM_TESTED, about)
  rows.put([4, 2], np.full((2, 3), -1, np.float32))
  found = evaluation.get(scales=(32,))
  assert computed == [("center", (32,), (32,))]
  assert (found[0, [2, 4]] == -1).all()
  assert not folder.with_suffix(".partial").exists()

  rows = StoredRows(folder.with_suffix(".partial"), NUM_TESTED, about)
  rows.put([4, 2], np.full((2, 3), -1, np.float32))
  found = evaluation.get("center", "checkpoint=2", scales=(32,))
  assert computed[1:] == [("center", (32,), ())]
  assert (found[0, :, 2] == 2).all()
