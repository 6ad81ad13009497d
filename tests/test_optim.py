"""vggjax.train.optim against hand-written loops."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggjax.train import optim


def start():
  rng = np.random.default_rng(0)
  return {
    "fc6": {
      "kernel": rng.normal(size=(3, 2)).astype(np.float32),
      "bias": rng.normal(size=2).astype(np.float32),
    }
  }


def gradients(count):
  rng = np.random.default_rng(1)
  return [
    {
      "fc6": {
        "kernel": rng.normal(size=(3, 2)).astype(np.float32),
        "bias": rng.normal(size=2).astype(np.float32),
      }
    }
    for _ in range(count)
  ]


def caffe(params, grads, rates, momentum, decay, caffe_bias=False):
  """Caffe's update, one array at a time."""
  params = {k: v.astype(np.float64) for k, v in params["fc6"].items()}
  velocity = {k: np.zeros_like(v) for k, v in params.items()}
  for gradient, rate in zip(grads, rates, strict=True):
    for name in params:
      own_rate, own_decay = rate, decay
      if caffe_bias and name == "bias":
        own_rate, own_decay = 2 * rate, 0.0
      change = gradient["fc6"][name] + own_decay * params[name]
      velocity[name] = momentum * velocity[name] + own_rate * change
      params[name] = params[name] - velocity[name]
  return params


def ours(params, grads, rates, **options):
  transformation = optim.sgd(rates[0], **options)
  state = transformation.init(params)
  for gradient, rate in zip(grads, rates, strict=True):
    state.hyperparams["learning_rate"] = jnp.float32(rate)
    updates, state = transformation.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
  return params["fc6"]


@pytest.mark.parametrize("caffe_bias", [False, True])
def test_sgd_is_caffes_when_the_rate_drops(caffe_bias):
  rates = [0.1, 0.1, 0.01, 0.01, 0.001]
  params, grads = start(), gradients(5)
  options = {"momentum": 0.9, "weight_decay": 0.05, "caffe_bias": caffe_bias}
  found = ours(params, grads, rates, **options)
  wanted = caffe(params, grads, rates, 0.9, 0.05, caffe_bias)
  for name in wanted:
    np.testing.assert_allclose(found[name], wanted[name], rtol=2e-6)


def test_the_old_velocity_keeps_the_old_rate():
  """With the rate outside the velocity the second step would differ."""
  params = {"fc6": {"kernel": np.zeros(1, np.float32)}}
  grads = [{"fc6": {"kernel": np.ones(1, np.float32)}}] * 2
  found = ours(params, grads, [1.0, 0.1], momentum=0.5, weight_decay=0.0)
  assert found["kernel"][0] == pytest.approx(-1.0 - (0.5 * 1.0 + 0.1))


def test_fixed_schedule_divides_by_ten_at_each_boundary():
  schedule = optim.fixed_schedule(0.01, (10, 20))
  rates = [float(schedule(step)) for step in (0, 9, 10, 11, 19, 20, 500)]
  wanted = [1e-2, 1e-2, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4]
  # optax counts the boundary's own step to the stage before it or after it.
  assert rates[0] == pytest.approx(wanted[0])
  assert rates[1] == pytest.approx(wanted[1])
  assert rates[3:5] == pytest.approx(wanted[3:5])
  assert rates[6] == pytest.approx(wanted[6])


def run_plateau(errors, patience=2, min_improvement=0.1, max_drops=3):
  plateau, drops = optim.Plateau.create(), []
  for error in errors:
    plateau = plateau.update(
      error,
      patience=patience,
      min_improvement=min_improvement,
      max_drops=max_drops,
    )
    drops.append(int(plateau.drops))
  return drops


def test_plateau_drops_after_patience_epochs_without_improvement():
  assert run_plateau([50, 40, 41, 40.5, 39, 38]) == [0, 0, 0, 1, 1, 1]


def test_plateau_ignores_improvements_below_the_least():
  assert run_plateau([50, 49.95, 49.93]) == [0, 0, 1]
  assert run_plateau([50, 49.85, 49.7]) == [0, 0, 0]


def test_plateau_waits_anew_after_a_drop_and_stops_at_the_last():
  assert run_plateau([50] * 12) == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3]
  assert run_plateau([50] * 6, max_drops=0) == [0] * 6
