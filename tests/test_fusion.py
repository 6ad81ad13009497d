"""Averages of posteriors: the mean by hand, and what cannot be averaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggjax.errors import InputError
from vggjax.evaluate.fusion import fuse
from vggjax.evaluate.store import Posteriors

IDS = np.array(["a/1.jpg", "b/2.jpg"])
LABELS = np.array([1, -1], np.int32)


def item(posteriors, ids=IDS, labels=LABELS, **about):
  posteriors = np.array(posteriors, np.float32)
  return Posteriors(posteriors, labels, ids, about)


def test_the_mean_of_three_by_hand():
  members = [
    item([[1.0, 0.0], [0.5, 0.5]], run="A-256"),
    item([[0.25, 0.75], [0.5, 0.5]], run="D-256"),
    item([[0.25, 0.75], [0.125, 0.875]], run="E-256"),
  ]
  before = [member.posteriors.copy() for member in members]
  fused = fuse(members)
  np.testing.assert_array_equal(
    fused.posteriors, np.array([[0.5, 0.5], [0.375, 0.625]], np.float32)
  )
  assert fused.posteriors.dtype == np.float32
  np.testing.assert_array_equal(fused.ids, IDS)
  np.testing.assert_array_equal(fused.labels, LABELS)
  names = [about["run"] for about in fused.about["fusion_of"]]
  assert names == ["A-256", "D-256", "E-256"]
  for member, values in zip(members, before, strict=True):
    np.testing.assert_array_equal(member.posteriors, values)


def test_one_member_is_its_own_mean():
  member = item([[0.1, 0.9], [0.3, 0.7]], run="A-256")
  fused = fuse([member])
  np.testing.assert_array_equal(fused.posteriors, member.posteriors)
  assert fused.about == {"fusion_of": [{"run": "A-256"}]}


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_many_members_lose_nothing_to_rounding(count, seed):
  """Within half a unit of float32 of the exact mean, whatever the order."""
  random = np.random.default_rng(seed)
  arrays = random.dirichlet(np.ones(5), (count, 2)).astype(np.float32)
  fused = fuse([item(array) for array in arrays]).posteriors
  exact = np.mean(arrays.astype(np.longdouble), axis=0)
  np.testing.assert_allclose(fused, exact, rtol=2**-23, atol=0)
  again = fuse([item(array) for array in random.permutation(arrays)])
  np.testing.assert_allclose(again.posteriors, fused, rtol=2**-23)


@pytest.mark.parametrize(
  ("other", "what"),
  [
    ({"ids": IDS[::-1]}, "examples"),
    ({"ids": np.array(["a/1.jpg", "b/3.jpg"])}, "examples"),
    (
      {"ids": IDS[:1], "labels": LABELS[:1], "posteriors": [[1, 0]]},
      "examples",
    ),
    ({"labels": np.array([1, 0], np.int32)}, "labels"),
    ({"posteriors": [[1, 0, 0], [1, 0, 0]]}, "classes"),
  ],
)
def test_different_things_are_not_fused(other, what):
  good = item([[1, 0], [0, 1]], run="D-256")
  bad = item(**{"posteriors": [[1, 0], [0, 1]], "run": "E-384", **other})
  for members in ([good, bad], [good, good, bad], [bad, good]):
    with pytest.raises(InputError, match=f"different {what}") as error:
      fuse(members)
    assert "\n" not in str(error.value)
    assert "D-256" in str(error.value)
    assert "E-384" in str(error.value)


def test_nothing_to_fuse():
  with pytest.raises(InputError, match="no posteriors to fuse"):
    fuse([])
