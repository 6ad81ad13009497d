"""The box layer and its loss (App. A.1), by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggjax import geometry
from vggjax.localize import head

RANDOM = np.random.default_rng(3)


def make_batch(count=5, classes=4):
  return {
    "label": RANDOM.integers(0, classes, count).astype(np.int32),
    "box": RANDOM.uniform(0.1, 0.6, (count, 4)).astype(np.float32),
    "box_weight": np.array([1, 0, 1, 1, 1], np.float32)[:count],
  }


@pytest.mark.parametrize(
  ("objective", "wanted"), [("classes", 7), ("scr", 4), ("pcr", 28)]
)
def test_channels(objective, wanted):
  assert head.num_outputs(objective, 7) == wanted


@pytest.mark.parametrize("regression", head.REGRESSIONS)
def test_the_loss_by_hand(regression):
  batch = make_batch()
  channels = head.num_outputs(regression, 4)
  scores = RANDOM.normal(0, 0.5, (5, 1, 1, channels)).astype(np.float32)
  metrics = head.LOSSES[regression](jnp.asarray(scores), batch)
  for n in range(5):
    first = 4 * batch["label"][n] if regression == "pcr" else 0
    found = scores[n, 0, 0, first : first + 4]
    square = sum(
      (a - b) ** 2 for a, b in zip(found, batch["box"][n], strict=True)
    )
    wanted = 0.5 * square * batch["box_weight"][n]
    assert metrics["loss"][n] == pytest.approx(wanted, rel=1e-5)


def test_only_the_true_classs_box_is_touched():
  batch = make_batch()
  scores = RANDOM.normal(0, 1, (5, 1, 1, 16)).astype(np.float32)

  def loss(scores):
    return head.pcr_loss(scores, batch)["loss"].sum()

  gradient = jax.grad(loss)(jnp.asarray(scores)).reshape(5, 4, 4)
  for n, label in enumerate(batch["label"]):
    others = np.delete(gradient[n], label, axis=0)
    assert not np.any(others)
    assert np.all(gradient[n, label] != 0) == bool(batch["box_weight"][n])


def test_the_error_is_an_overlap_of_half_or_less():
  box = np.array([[0.0, 0.0, 1.0, 0.5]], np.float32)
  batch = {"label": np.zeros(1, np.int32), "box": box}
  batch["box_weight"] = np.ones(1, np.float32)
  # Moved by a third of its width, two boxes overlap by exactly half.
  for shift, wanted in ((0.30, 0.0), (0.3334, 100.0), (0.5, 100.0)):
    scores = jnp.asarray(box + np.array([shift, 0, 0, 0], np.float32))
    metrics = head.scr_loss(scores[:, None, None], batch)
    assert metrics["localization_error"][0] == wanted


def test_unknown_labels_of_padding_give_numbers():
  batch = make_batch()
  batch["label"] = np.full(5, -1, np.int32)
  scores = jnp.ones((5, 1, 1, 16))
  assert np.isfinite(head.pcr_loss(scores, batch)["loss"]).all()


def test_decoded_boxes_by_hand():
  # A box of half the crop's width, all of its height, left of the middle.
  outputs = np.array([[-0.25, 0.0, 0.5, 1.0]])
  box = geometry.decode_boxes(outputs, 224, np.array([[10, 20]]))
  np.testing.assert_allclose(box, [[10, 20, 10 + 112, 20 + 224]])
  # No box is thinner than a pixel of the paper's crop.
  flat = geometry.decode_boxes(np.array([0.0, 0.0, -3.0, 0.0]), 224)
  np.testing.assert_allclose(flat, [111.5, 111.5, 112.5, 112.5])
